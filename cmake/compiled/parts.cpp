// Bodies of what caches, samplers and streams are made of.
#include <weir/core/target.hpp>

#if WEIR_DECLARED_ONLY
#include <weir/cache/attention/rotations.inl.hpp>
#include <weir/cache/cache_options.inl.hpp>
#include <weir/cache/step_rows.inl.hpp>
#include <weir/core/arena.inl.hpp>
#include <weir/core/available_threads.inl.hpp>
#include <weir/core/elementary.inl.hpp>
#include <weir/core/error.inl.hpp>
#include <weir/core/thread_pool.inl.hpp>
#include <weir/kernels/kv_shape.inl.hpp>
#include <weir/kernels/rope.inl.hpp>
#include <weir/kernels/weight_panels.inl.hpp>
#include <weir/sampling/cautious.inl.hpp>
#include <weir/sampling/gumbel.inl.hpp>
#include <weir/sampling/sampler.inl.hpp>
#include <weir/sampling/sampling.inl.hpp>
#include <weir/stream/stop_matcher.inl.hpp>
#endif
