#include "attention/key_bias.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/check.h"
#include "kv/finite.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention/key_bias.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace throng::attention {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kMaxPairs = kv::kMaxHeadDim / 2;

// The cosine of a sum of angles is a sum of products: the angle at the page's start turns the two numbers of
// a query's pair, and those within the page come from one table.
void AddKeyBiasImpl(const HeadKeyBias& bias, int page, const float* rows, int num_rows, float* scores) {
  const hn::CappedTag<float, 16> df;
  constexpr int kN = static_cast<int>(hn::MaxLanes(df));
  constexpr int kVecs = HWY_MIN(4, kv::kPageTokens / kN);
  const size_t pairs = bias.pairs.size();
  PageAngles::Angle starts[kMaxPairs];
  const float* within[kMaxPairs];
  for (size_t p = 0; p < pairs; ++p) {
    starts[p] = bias.angles->AtStart(bias.pairs[p].angle, page);
    within[p] = bias.angles->Within(bias.pairs[p].angle);
  }
  for (int r = 0; r < num_rows; ++r) {
    const float* row = rows + static_cast<size_t>(r) * 2 * pairs;
    float* to = scores + r * kv::kPageTokens;
    float cosines[kMaxPairs], sines[kMaxPairs];
    for (size_t p = 0; p < pairs; ++p) {
      const auto [cosine, sine] = starts[p];
      cosines[p] = row[2 * p] * cosine + row[2 * p + 1] * sine;
      sines[p] = row[2 * p + 1] * cosine - row[2 * p] * sine;
    }
    for (int first = 0; first < kv::kPageTokens; first += kVecs * kN) {
      hn::Vec<decltype(df)> sum[kVecs];
      for (int v = 0; v < kVecs; ++v) sum[v] = hn::LoadU(df, to + first + v * kN);
      for (size_t p = 0; p < pairs; ++p) {
        const auto cosine = hn::Set(df, cosines[p]);
        const auto sine = hn::Set(df, sines[p]);
        const float* at = within[p] + first;
        for (int v = 0; v < kVecs; ++v) {
          sum[v] = hn::MulAdd(cosine, hn::LoadU(df, at + v * kN), sum[v]);
          sum[v] = hn::MulAdd(sine, hn::LoadU(df, at + kv::kPageTokens + v * kN), sum[v]);
        }
      }
      for (int v = 0; v < kVecs; ++v) hn::StoreU(sum[v], df, to + first + v * kN);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::attention
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::attention {
namespace {

// A query's elements are at most kLargestElement, so that sums over 128 pairs stay finite in f32.
constexpr float kLargestBias = 1e6f;
constexpr int kMostPages = 1 << 14;  // whose angles are kept: a million tokens

PageAngles::Angle AngleAt(double radians) {
  return {static_cast<float>(std::cos(radians)), static_cast<float>(std::sin(radians))};
}

bool IsRemovable(float x) { return std::abs(x) <= kLargestBias; }  // false for NaN

// Moves the part of one head that stands out to `removed`; returns its pairs, whose `angle` is that of the
// rotation.
std::vector<HeadKeyBias::Pair> Remove(const Rotation& rotation, const float* bias, double limit,
                                      size_t head_dim, float* removed) {
  std::vector<HeadKeyBias::Pair> pairs;
  for (size_t i = 0; i < rotation.frequencies.size(); ++i) {
    const size_t first = rotation.First(i), second = rotation.Second(i);
    const float x = bias[first], y = bias[second];
    if (!IsRemovable(x) || !IsRemovable(y) || !(std::hypot(x, y) > limit)) continue;
    removed[first] = x;
    removed[second] = y;
    pairs.push_back({first, second, x, y, i});
  }
  for (size_t j = 2 * rotation.frequencies.size(); j < head_dim; ++j) {
    if (IsRemovable(bias[j])) removed[j] = bias[j];
  }
  return pairs;
}

}  // namespace

HWY_EXPORT(AddKeyBiasImpl);

PageAngles::PageAngles(std::vector<double> frequencies, int pages)
    : frequencies_(std::move(frequencies)), pages_(pages) {
  within_.resize(frequencies_.size() * 2 * kv::kPageTokens);
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    float* to = within_.data() + i * 2 * kv::kPageTokens;
    for (int t = 0; t < kv::kPageTokens; ++t) {
      const Angle angle = AngleAt(t * frequencies_[i]);
      to[t] = angle.cosine;
      to[kv::kPageTokens + t] = angle.sine;
    }
  }
  for (int page = 0; page < pages; ++page) {
    for (size_t i = 0; i < frequencies_.size(); ++i) starts_.push_back(Compute(i, page));
  }
}

PageAngles::Angle PageAngles::Compute(size_t i, int page) const {
  return AngleAt(static_cast<double>(page) * kv::kPageTokens * frequencies_[i]);
}

std::shared_ptr<const KeyBias> MakeKeyBias(std::span<const BiasOfLayer> layers, int head_dim,
                                           int max_tokens) {
  const size_t dim = static_cast<size_t>(head_dim);
  const auto result = std::make_shared<KeyBias>();
  std::map<const Rotation*, std::vector<size_t>> used;  // pairs of each rotation, in order, each once
  bool any = false;
  for (const BiasOfLayer& of : layers) {
    THRONG_CHECK(of.bias.size() == of.limits.size() * dim);
    LayerKeyBias layer{std::vector<float>(of.bias.size()), {}};
    for (size_t head = 0; head < of.limits.size(); ++head) {
      layer.heads.push_back({Remove(*of.rotation, of.bias.data() + head * dim, of.limits[head], dim,
                                    layer.removed.data() + head * dim),
                             nullptr});
      for (const HeadKeyBias::Pair& pair : layer.heads.back().pairs) used[of.rotation].push_back(pair.angle);
    }
    any = any || std::any_of(layer.removed.begin(), layer.removed.end(), [](float x) { return x != 0.0f; });
    result->push_back(std::move(layer));
  }
  if (!any) return nullptr;
  const int pages = std::min(kMostPages, max_tokens / kv::kPageTokens + 1);
  std::map<const Rotation*, std::shared_ptr<const PageAngles>> angles;
  for (auto& [rotation, pairs] : used) {
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    std::vector<double> frequencies;
    for (const size_t pair : pairs) frequencies.push_back(rotation->frequencies[pair]);
    angles[rotation] = std::make_shared<PageAngles>(std::move(frequencies), pages);
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::vector<size_t>& pairs = used[layers[i].rotation];
    for (HeadKeyBias& head : (*result)[i].heads) {
      head.angles = angles[layers[i].rotation];
      for (HeadKeyBias::Pair& pair : head.pairs) {
        pair.angle =
            static_cast<size_t>(std::lower_bound(pairs.begin(), pairs.end(), pair.angle) - pairs.begin());
      }
    }
  }
  return result;
}

void PrepareKeyBias(const HeadKeyBias& bias, const float* query, float scale, float* row) {
  for (const HeadKeyBias::Pair& pair : bias.pairs) {
    const float x = kv::Finite(query[pair.first] * scale), y = kv::Finite(query[pair.second] * scale);
    *row++ = x * pair.x + y * pair.y;
    *row++ = y * pair.x - x * pair.y;
  }
}

void AddKeyBias(const HeadKeyBias& bias, int page, const float* rows, int num_rows, float* scores) {
  HWY_DYNAMIC_DISPATCH(AddKeyBiasImpl)(bias, page, rows, num_rows, scores);
}

double KeyBiasReference(const HeadKeyBias& bias, const float* query, int position) {
  double sum = 0.0;
  for (const HeadKeyBias::Pair& pair : bias.pairs) {
    const double angle = position * bias.angles->Frequency(pair.angle);
    const double x = pair.x * std::cos(angle) - pair.y * std::sin(angle);
    const double y = pair.y * std::cos(angle) + pair.x * std::sin(angle);
    sum += x * query[pair.first] + y * query[pair.second];
  }
  return sum;
}

}  // namespace throng::attention
#endif  // HWY_ONCE
