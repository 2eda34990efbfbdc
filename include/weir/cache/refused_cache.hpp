// What stands in for a cache whose policies cannot work together. The compiler says why, once; the
// members, which nothing defines, keep it from complaining of every later line as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <weir/cache/cache_options.hpp>
#include <weir/cache/cache_reports.hpp>
#include <weir/cache/step_rows.hpp>
#include <weir/core/index.hpp>
#include <weir/core/target.hpp>
#include <weir/kernels/kv_shape.hpp>

namespace weir::inline WEIR_TARGET {

class refused_cache {
 public:
  class step {
   public:
    void extend(std::span<const row>);
    void attend(std::size_t, std::span<const float>, std::span<const float>, std::span<const float>,
                std::span<float>);
    commit_report commit(std::span<const std::size_t>);
    commit_report commit(std::initializer_list<std::size_t> = {});
    void rollback();
  };
  step begin(std::span<const row>);
  void take_back();
  void reset();
  std::uint64_t length() const;
  std::uint64_t room() const;
  std::uint64_t finals_room() const;
  std::size_t draft_room(std::size_t) const;
  static constexpr bool wants_log_probabilities = false;
  void tell_log_probability(std::uint64_t, float);
  std::size_t pages_held() const;
  std::size_t max_entries() const;
  std::size_t bytes() const;
  std::size_t bytes_beside_pages() const;
  void fork_from(const refused_cache&);
  const kv_shape& shape() const;
  const cache_options& options() const;
  const cache_stats& stats() const;
  template <class Visit>
  void for_each_index(std::size_t, std::size_t, Visit) const {}
  template <class Visit>
  void for_each_entry(std::size_t, std::size_t, Visit) const {}
};

}  // namespace weir::inline WEIR_TARGET
