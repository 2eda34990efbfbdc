// Matrix products of every type of weight.
#include <weir/kernels/cpu/embed.hpp>
#include <weir/kernels/cpu/matmul.hpp>

#include "record.hpp"
#include "support/products.hpp"
#include "support/random_weights.hpp"

namespace weir_record {

namespace {

std::string name_of(weir::weight_type type) {
  switch (type) {
    case weir::weight_type::f32:
      return "f32";
    case weir::weight_type::f16:
      return "f16";
    case weir::weight_type::bf16:
      return "bf16";
    case weir::weight_type::q8_0:
      return "q8_0";
    case weir::weight_type::q4_0:
      return "q4_0";
    case weir::weight_type::q4_1:
      return "q4_1";
    case weir::weight_type::q5_0:
      return "q5_0";
    case weir::weight_type::q5_1:
      return "q5_1";
    case weir::weight_type::q4_k:
      return "q4_k";
    case weir::weight_type::q5_k:
      return "q5_k";
    case weir::weight_type::q6_k:
      return "q6_k";
  }
  throw std::logic_error("a type of weight without a name");
}

/// Adds y = w · x for `rows` rows of activations.
void add_product(bit_hash& hash, const weir::matrix_view& w, std::size_t rows) {
  const auto x = weir_test::random_floats(rows * w.cols, 100 + rows, 3);
  std::vector<float> y(rows * w.rows);
  weir::executor one;
  weir::matmul<>(w, x.data(), rows, y.data(), weir_test::scratch(rows, w.cols).rooms, one);
  hash.add(y);
}

}  // namespace

void record_products(record& out) {
  for (const weir::weight_type type : weir_test::all_weight_types)
    for (const std::size_t height : {16u, 53u}) {
      const std::size_t width = 768;
      const weir_test::owned_matrix w = weir_test::pack(
          type, height, width, weir_test::random_floats(height * width, height, 0.7f));
      const std::string name = "product " + name_of(type) + " " + std::to_string(height);
      bit_hash vector, matrix, rows;
      add_product(vector, w.view(), 1);
      for (const std::size_t n : {2u, 5u, 33u}) add_product(matrix, w.view(), n);
      for (std::size_t row = 0; row < height; ++row) {
        std::vector<float> x(width);
        weir::load_row(w.view(), row, x.data());
        rows.add(x);
      }
      out.write(name + " vector", vector);
      out.write(name + " matrix", matrix);
      out.write(name + " rows", rows);
      if (!weir::can_repack(type)) continue;
      const weir_test::repacked_matrix panels(w);
      bit_hash repacked;
      for (const std::size_t n : {1u, 2u, 5u, 33u}) add_product(repacked, panels.view, n);
      out.write(name + " panels", repacked);
    }
}

}  // namespace weir_record
