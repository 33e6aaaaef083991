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

constexpr size_t kBlock = kWeightBlock;  // tokens of a word of the mask, too

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

int32_t FirstWithLogitImpl(std::span<const float> logits, std::span<const uint64_t> mask, float logit) {
  const hn::CappedTag<float, 16> d;
  const auto wanted = hn::Set(d, logit);
  int32_t found = -1;
  ForBlocks(logits, mask, [&](size_t first, const float* block, uint64_t allowed) HWY_ATTR {
    if (allowed == 0 || found >= 0) return;
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      const auto equal = hn::And(Lanes(d, allowed, at), hn::Eq(hn::LoadU(d, block + at), wanted));
      const auto lane = hn::FindFirstTrue(d, equal);
      if (lane < 0) continue;
      found = static_cast<int32_t>(first + at) + static_cast<int32_t>(lane);
      return;
    }
  });
  return found;
}

// hn::Exp(x) * kLargestWeight for x in [-28.5, 0], bit for bit, without what other x need: where the result
// vanishes, or 2^q is out of range.
template <class D, class V>
HWY_INLINE V Weight(D d, V x) {
  const hn::Rebind<int32_t, D> di32;
  const hn::Rebind<int64_t, D> di64;
  hn::impl::ExpImpl<double> exp;
  const auto log2e = hn::Set(d, 1.442695040888963407359924681);
  const auto q = exp.ToInt32(d, hn::MulAdd(x, log2e, hn::Set(d, -0.5)));
  const auto y = hn::Add(exp.ExpPoly(d, exp.ExpReduce(d, x, q)), hn::Set(d, 1.0));
  constexpr int kBias = 1023 + 40;
  const auto exponent = hn::PromoteTo(di64, hn::Add(q, hn::Set(di32, kBias)));
  const auto integers = hn::Set(d, 0x1p52);  // doubles from there on are integers, in their lowest bits
  return hn::MulAdd(y, hn::BitCast(d, hn::ShiftLeft<52>(exponent)), integers);
}

uint64_t TokenWeightsImpl(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                          float temperature, uint64_t* weights, uint64_t* sums) {
  static_assert(kLargestWeight == uint64_t{1} << 40);
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> df;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto top = hn::Set(d, static_cast<double>(largest));
  const auto scale = hn::Set(d, 1.0 / static_cast<double>(temperature));
  const auto vanishes = hn::Set(d, -28.5);  // e^-28.5 * 2^40 rounds to 0
  const auto bits = hn::Set(du, (uint64_t{1} << 52) - 1);
  uint64_t sum_of_all = 0;
  ForBlocks(logits, mask, [&](size_t first, const float* block, uint64_t allowed) HWY_ATTR {
    const size_t count = std::min(kBlock, logits.size() - first);
    uint64_t& block_sum = sums[first / kBlock];
    block_sum = 0;
    if (allowed == 0) {
      std::fill_n(weights + first, count, 0);
      return;
    }
    auto sum = hn::Zero(du);
    HWY_ALIGN uint64_t rest[kBlock];
    uint64_t* out = count == kBlock ? weights + first : rest;
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      const auto x = hn::PromoteTo(d, hn::LoadU(df, block + at));
      const auto power = hn::Mul(hn::Sub(x, top), scale);
      // A NaN is above nothing.
      const auto counts = hn::And(Lanes(d, allowed, at), hn::Gt(power, vanishes));
      if (hn::AllFalse(d, counts)) {
        hn::StoreU(hn::Zero(du), du, out + at);
        continue;
      }
      const auto weight = Weight(d, hn::IfThenElse(counts, power, vanishes));
      const auto whole = hn::And(hn::BitCast(du, weight), bits);
      sum = hn::Add(sum, whole);
      hn::StoreU(whole, du, out + at);
    }
    if (count < kBlock) std::copy_n(rest, count, weights + first);
    block_sum = hn::GetLane(hn::SumOfLanes(du, sum));
    sum_of_all += block_sum;
  });
  return sum_of_all;
}

// Calls body(first token, count, its weights) for the blocks that may have a weight of at least `least`. The
// last block is filled up with zeros.
template <class Body>
HWY_INLINE void ForWeights(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                           const Body& body) {
  for (size_t block = 0; block < sums.size(); ++block) {
    if (sums[block] < least) continue;
    const size_t first = block * kBlock;
    const size_t count = std::min(kBlock, weights.size() - first);
    if (count == kBlock) {
      body(first, weights.data() + first);
      continue;
    }
    HWY_ALIGN uint64_t rest[kBlock] = {};
    std::copy_n(weights.data() + first, count, rest);
    body(first, rest);
  }
}

// BinOf of each weight.
template <class D, class V>
HWY_INLINE V Bins(D du, V weight) {
  const hn::RebindToFloat<D> d;
  const auto integers = hn::Set(d, 0x1p52);
  const auto number = hn::Sub(hn::BitCast(d, hn::Or(weight, hn::BitCast(du, integers))), integers);
  return hn::Sub(hn::ShiftRight<44>(hn::BitCast(du, number)), hn::Set(du, uint64_t{1023} * 256));
}

uint64_t AddToBinsImpl(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                       uint64_t* bins) {
  const hn::CappedTag<uint64_t, 8> du;
  const auto below = hn::Set(du, least - 1);
  auto sum = hn::Zero(du);
  ForWeights(weights, sums, least, [&](size_t, const uint64_t* block) HWY_ATTR {
    // Of the weights that count, one after another; a store may fill a vector.
    HWY_ALIGN uint64_t bin[kBlock + hn::MaxLanes(du)];
    HWY_ALIGN uint64_t counted[kBlock + hn::MaxLanes(du)];
    size_t count = 0;
    for (size_t at = 0; at < kBlock; at += hn::Lanes(du)) {
      const auto weight = hn::LoadU(du, block + at);
      const auto counts = hn::Gt(weight, below);
      if (hn::AllFalse(du, counts)) continue;
      hn::CompressStore(Bins(du, weight), counts, du, bin + count);
      count += hn::CompressStore(weight, counts, du, counted + count);
      sum = hn::Add(sum, hn::IfThenElseZero(counts, weight));
    }
    for (size_t i = 0; i < count; ++i) bins[bin[i]] += counted[i];
  });
  return hn::GetLane(hn::SumOfLanes(du, sum));
}

void TokensBetweenImpl(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                       uint64_t end, std::vector<WeighedToken>& tokens) {
  tokens.clear();
  const hn::CappedTag<uint64_t, 8> du;
  const auto from = hn::Set(du, least);
  const auto size = hn::Set(du, end - least);
  ForWeights(weights, sums, least, [&](size_t first, const uint64_t* block) HWY_ATTR {
    for (size_t at = 0; at < kBlock; at += hn::Lanes(du)) {
      if (hn::AllFalse(du, hn::Lt(hn::Sub(hn::LoadU(du, block + at), from), size))) continue;
      for (size_t i = at; i < at + hn::Lanes(du); ++i) {
        if (block[i] >= least && block[i] < end)
          tokens.push_back({block[i], static_cast<int32_t>(first + i)});
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::engine
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::engine {

HWY_EXPORT(LargestLogitImpl);
HWY_EXPORT(FirstWithLogitImpl);
HWY_EXPORT(TokenWeightsImpl);
HWY_EXPORT(AddToBinsImpl);
HWY_EXPORT(TokensBetweenImpl);

float LargestLogit(std::span<const float> logits, std::span<const uint64_t> mask) {
  return HWY_DYNAMIC_DISPATCH(LargestLogitImpl)(logits, mask);
}

int32_t FirstWithLogit(std::span<const float> logits, std::span<const uint64_t> mask, float logit) {
  return HWY_DYNAMIC_DISPATCH(FirstWithLogitImpl)(logits, mask, logit);
}

uint64_t TokenWeights(std::span<const float> logits, std::span<const uint64_t> mask, float largest,
                      float temperature, uint64_t* weights, uint64_t* sums) {
  return HWY_DYNAMIC_DISPATCH(TokenWeightsImpl)(logits, mask, largest, temperature, weights, sums);
}

uint64_t AddToBins(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                   uint64_t* bins) {
  return HWY_DYNAMIC_DISPATCH(AddToBinsImpl)(weights, sums, least, bins);
}

void TokensBetween(std::span<const uint64_t> weights, std::span<const uint64_t> sums, uint64_t least,
                   uint64_t end, std::vector<WeighedToken>& tokens) {
  HWY_DYNAMIC_DISPATCH(TokensBetweenImpl)(weights, sums, least, end, tokens);
}

}  // namespace throng::engine
#endif  // HWY_ONCE
