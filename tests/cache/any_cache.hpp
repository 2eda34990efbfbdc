// Every cache type that the tests of this folder run, behind one interface: each is compiled once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <weir/cache/eviction/sinks.hpp>
#include <weir/cache/eviction/window.hpp>
#include <weir/cache/kv_cache.hpp>
#include <weir/testing/drive_cache.hpp>

namespace weir_test {

using namespace weir::testing;

/// Keeps the tokens with the largest key norm.
struct longest_keys {
  std::size_t budget = 0;
  float score(const weir::slots_view& view, weir::slot s) const { return view.key_norm(s); }
};

enum class codec { f32, f16, bf16, int8, int4 };
enum class policy { everything, window, sinks_window, scored };

inline constexpr codec codecs[] = {codec::f32, codec::f16, codec::bf16, codec::int8, codec::int4};
inline constexpr policy policies[] = {policy::everything, policy::window, policy::sinks_window,
                                      policy::scored};

/// A cache, said in plain numbers.
struct setup {
  codec stored = codec::f32;
  policy keeps = policy::everything;
  bool renumbers = false;  ///< positions::within_cache
  std::size_t capacity = 4096, sinks = 0, window = 64, scored = 0;
  weir::kv_shape shape{.layers = 2,
                       .q_heads = 4,
                       .kv_heads = 2,
                       .head_dim = 16,
                       .rope = {.dims = 16, .base = 10000}};
  weir::cache_options options{};
};

inline std::string describe(const setup& s) {
  std::ostringstream text;
  text << "codec " << int(s.stored) << " policy " << int(s.keeps) << " renumbers " << s.renumbers
       << " capacity " << s.capacity << " sinks " << s.sinks << " window " << s.window << " scored "
       << s.scored << " layers " << s.shape.layers << " heads " << s.shape.q_heads << '/'
       << s.shape.kv_heads << " dim " << s.shape.head_dim << " rope " << s.shape.rope.dims
       << (s.shape.rope.pairing == weir::rope_pairing::half_split ? " half" : "") << " cadence "
       << s.options.cadence << " first " << s.options.first_index << " drafts "
       << s.options.max_draft_rows << '*' << s.options.max_draft_width;
  return text.str();
}

/// Calls `use.operator()<Cache>(keep)` with the type and policy that `s` names.
template <class Codec, class Use>
auto with_cache(const setup& s, Use use) {
  const auto placed = [&]<class Keep>(const Keep& keep) {
    using original = weir::kv_cache<Codec, Keep, weir::positions::original>;
    using within = weir::kv_cache<Codec, Keep, weir::positions::within_cache>;
    return s.renumbers ? use.template operator()<within>(keep)
                       : use.template operator()<original>(keep);
  };
  const weir::sinks sinks{s.sinks};
  const weir::window window{s.window};
  switch (s.keeps) {
    case policy::everything:
      return placed(weir::keep_all{s.capacity});
    case policy::window:
      return placed(weir::keep<weir::window>{window});
    case policy::sinks_window:
      return placed(weir::keep<weir::sinks, weir::window>{sinks, window});
    default:
      return placed(weir::keep<weir::sinks, weir::window, longest_keys>{sinks, window,
                                                                        longest_keys{s.scored}});
  }
}

template <class Codec>
std::unique_ptr<any_cache> make_cache_of(const setup& s) {
  return with_cache<Codec>(
      s, [&]<class Cache, class Keep>(const Keep& keep) -> std::unique_ptr<any_cache> {
        return std::make_unique<one_cache<Cache>>(s.shape, keep, s.options);
      });
}

template <class Codec>
std::size_t required_bytes_of(const setup& s) {
  return with_cache<Codec>(s, [&]<class Cache, class Keep>(const Keep& keep) {
    return Cache::required_bytes(s.shape, keep, s.options);
  });
}

/// `call` with the type of a codec.
template <class Call>
auto with_codec(codec stored, Call call) {
  switch (stored) {
    case codec::f32:
      return call.template operator()<weir::f32>();
    case codec::f16:
      return call.template operator()<weir::f16>();
    case codec::bf16:
      return call.template operator()<weir::bf16>();
    case codec::int8:
      return call.template operator()<weir::int8>();
    default:
      return call.template operator()<weir::int4>();
  }
}

// Compiled in caches_f32.cpp and its siblings.
extern template std::unique_ptr<any_cache> make_cache_of<weir::f32>(const setup&);
extern template std::size_t required_bytes_of<weir::f32>(const setup&);
extern template std::unique_ptr<any_cache> make_cache_of<weir::f16>(const setup&);
extern template std::size_t required_bytes_of<weir::f16>(const setup&);
extern template std::unique_ptr<any_cache> make_cache_of<weir::bf16>(const setup&);
extern template std::size_t required_bytes_of<weir::bf16>(const setup&);
extern template std::unique_ptr<any_cache> make_cache_of<weir::int8>(const setup&);
extern template std::size_t required_bytes_of<weir::int8>(const setup&);
extern template std::unique_ptr<any_cache> make_cache_of<weir::int4>(const setup&);
extern template std::size_t required_bytes_of<weir::int4>(const setup&);

inline std::unique_ptr<any_cache> make_cache(const setup& s) {
  return with_codec(s.stored, [&]<class Codec> { return make_cache_of<Codec>(s); });
}
inline std::size_t required_bytes(const setup& s) {
  return with_codec(s.stored, [&]<class Codec> { return required_bytes_of<Codec>(s); });
}

}  // namespace weir_test
