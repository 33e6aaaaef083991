#include "engine/sampling/token_weights.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/sampling/token_weights.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.h, which includes it once per target.
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::engine {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kBlock = 64;  // tokens of a word of the mask

// Calls body(first token, its logits, which are allowed) for all blocks. The last block is filled up with
// logits that are not allowed.
template <class Body>
HWY_INLINE void ForBlocks(std::span<const float> logits, std::span<const uint64_t> mask, const Body& body) {
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    uint64_t allowed = mask.empty() ? ~uint64_t{0} : mask[first / kBlock];
    const size_t count = std::min(kBlock, logits.size() - first);
    if (count == kBlock) {
      body(first, logits.data() + first, allowed);
      continue;
    }
    HWY_ALIGN float rest[kBlock] = {};
    std::copy_n(logits.data() + first, count, rest);
    allowed &= (uint64_t{1} << count) - 1;
    body(first, rest, allowed);
  }
}

// The lanes from token `at` of the block on.
template <class D>
HWY_INLINE hn::Mask<D> Lanes(D d, uint64_t allowed, size_t at) {
  const uint64_t bits = allowed >> at;
  return hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(&bits));
}

float LargestLogitImpl(std::span<const float> logits, std::span<const uint64_t> mask) {
  const hn::CappedTag<float, 16> d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto largest = lowest;
  ForBlocks(logits, mask, [&](size_t, const float* block, uint64_t allowed) HWY_ATTR {
    if (allowed == 0) return;
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      const auto x = hn::LoadU(d, block + at);
      const auto counts = hn::And(Lanes(d, allowed, at), hn::Eq(x, x));
      largest = hn::Max(largest, hn::IfThenElse(counts, x, lowest));
    }
  });
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

uint64_t TokenWeightsImpl(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                          float temperature, uint64_t* weights) {
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> df;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto top = hn::Set(d, static_cast<double>(largest));
  const auto scale = hn::Set(d, 1.0 / static_cast<double>(temperature));
  const auto vanishes = hn::Set(d, -40.0);  // e^-40 * 2^40 rounds to 0
  const auto one = hn::Set(d, static_cast<double>(kLargestWeight));
  const auto integers = hn::Set(d, 0x1p52);  // doubles from there on are integers, in their lowest bits
  const auto bits = hn::Set(du, (uint64_t{1} << 52) - 1);
  auto sum = hn::Zero(du);
  ForBlocks(logits, mask, [&](size_t first, const float* block, uint64_t allowed) HWY_ATTR {
    const size_t count = std::min(kBlock, logits.size() - first);
    if (allowed == 0) {
      std::fill_n(weights + first, count, 0);
      return;
    }
    HWY_ALIGN uint64_t rest[kBlock];
    uint64_t* out = count == kBlock ? weights + first : rest;
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      const auto x = hn::PromoteTo(d, hn::LoadU(df, block + at));
      const auto counts = hn::And(Lanes(d, allowed, at), hn::Eq(x, x));
      const auto power = hn::IfThenElse(counts, hn::Mul(hn::Sub(x, top), scale), vanishes);
      const auto weight = hn::MulAdd(hn::Exp(d, hn::Max(power, vanishes)), one, integers);
      const auto whole = hn::And(hn::BitCast(du, weight), bits);
      sum = hn::Add(sum, whole);
      hn::StoreU(whole, du, out + at);
    }
    if (count < kBlock) std::copy_n(rest, count, weights + first);
  });
  return hn::GetLane(hn::SumOfLanes(du, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::engine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::engine {

HWY_EXPORT(LargestLogitImpl);
HWY_EXPORT(TokenWeightsImpl);

float LargestLogit(std::span<const float> logits, std::span<const uint64_t> mask) {
  return HWY_DYNAMIC_DISPATCH(LargestLogitImpl)(logits, mask);
}

uint64_t TokenWeights(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                      float temperature, uint64_t* weights) {
  return HWY_DYNAMIC_DISPATCH(TokenWeightsImpl)(logits, mask, largest, temperature, weights);
}

}  // namespace throng::engine
#endif  // HWY_ONCE
