#include "attention/key_bias.h"

#include <algorithm>
#include <cmath>
#include <iterator>
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

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;
constexpr size_t kN = hn::MaxLanes(DF());
constexpr size_t kHalf = kv::kPageTokens / 2;
constexpr size_t kMaxPairs = kv::kMaxHeadDim / 2;

// A head's angles at one page.
struct Page {
  HWY_ALIGN float cosines[kMaxPairs], sines[kMaxPairs];  // of the middle; 0 up to Padded()
  const float* within[kMaxPairs];
};

// A token at distance u from the page's middle m adds A cos(w (m + u)) + B sin(w (m + u)) for each pair,
// which is an even and an odd function of u, so each sum serves two tokens:
//   even = sum (A cos wm + B sin wm) cos wu,  odd = sum (B cos wm - A sin wm) sin wu.
// Takes several rows through the tables together; the result of each does not depend on their number.
template <int kRows>
HWY_INLINE void AddRows(const HeadKeyBias& bias, const Page& page, const float* rows, float* scores) {
  constexpr size_t kVecs = HWY_MIN(2, kHalf / kN);
  const DF df;
  const size_t padded = bias.Padded();
  HWY_ALIGN float even_of[kRows][kMaxPairs], odd_of[kRows][kMaxPairs];
  for (int r = 0; r < kRows; ++r) {
    const float* a = rows + static_cast<size_t>(r) * 2 * padded;
    const float* b = a + padded;
    for (size_t p = 0; p < padded; p += kN) {
      const VF cosine = hn::Load(df, page.cosines + p), sine = hn::Load(df, page.sines + p);
      const VF va = hn::LoadU(df, a + p), vb = hn::LoadU(df, b + p);
      hn::Store(hn::MulAdd(vb, sine, hn::Mul(va, cosine)), df, even_of[r] + p);
      hn::Store(hn::NegMulAdd(va, sine, hn::Mul(vb, cosine)), df, odd_of[r] + p);
    }
  }
  for (size_t first = 0; first < kHalf; first += kVecs * kN) {
    VF even[kRows][kVecs], odd[kRows][kVecs];
    for (int r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < kVecs; ++v) even[r][v] = odd[r][v] = hn::Zero(df);
    }
    for (size_t p = 0; p < bias.pairs.size(); ++p) {
      VF cosine[kVecs], sine[kVecs];
      HWY_UNROLL(2)
      for (size_t v = 0; v < kVecs; ++v) {
        cosine[v] = hn::LoadU(df, page.within[p] + first + v * kN);
        sine[v] = hn::LoadU(df, page.within[p] + kHalf + first + v * kN);
      }
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const VF of_even = hn::Set(df, even_of[r][p]), of_odd = hn::Set(df, odd_of[r][p]);
        HWY_UNROLL(2)
        for (size_t v = 0; v < kVecs; ++v) {
          even[r][v] = hn::MulAdd(of_even, cosine[v], even[r][v]);
          odd[r][v] = hn::MulAdd(of_odd, sine[v], odd[r][v]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      float* middle = scores + r * kv::kPageTokens + kHalf;
      for (size_t v = 0; v < kVecs; ++v) {
        float* after = middle + first + v * kN;
        float* before = middle - first - (v + 1) * kN;
        hn::StoreU(hn::Add(hn::LoadU(df, after), hn::Add(even[r][v], odd[r][v])), df, after);
        const VF reversed = hn::Reverse(df, hn::Sub(even[r][v], odd[r][v]));
        hn::StoreU(hn::Add(hn::LoadU(df, before), reversed), df, before);
      }
    }
  }
}

void AddKeyBiasImpl(const HeadKeyBias& bias, int page_index, const float* rows, int num_rows, float* scores) {
  constexpr int kRows = kN == 16 ? 4 : 2;  // as many as leave their sums in registers
  Page page;
  for (size_t p = 0; p < bias.Padded(); ++p) page.cosines[p] = page.sines[p] = 0.0f;
  for (size_t p = 0; p < bias.pairs.size(); ++p) {
    const PageAngles::Angle middle = bias.angles->AtMiddle(bias.pairs[p].angle, page_index);
    page.cosines[p] = middle.cosine;
    page.sines[p] = middle.sine;
    page.within[p] = bias.angles->Within(bias.pairs[p].angle);
  }
  int r = 0;
  const auto at = [&](int row) { return rows + static_cast<size_t>(row) * bias.RowSize(); };
  for (; r + kRows <= num_rows; r += kRows) AddRows<kRows>(bias, page, at(r), scores + r * kv::kPageTokens);
  for (; r < num_rows; ++r) AddRows<1>(bias, page, at(r), scores + r * kv::kPageTokens);
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::attention
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::attention {
namespace {

// A query's elements are at most kLargestElement, so that sums over kMaxPairs stay finite in f32.
constexpr float kLargestBias = 1e6f;
constexpr int kMostPages = 1 << 14;  // whose angles are kept: a million tokens

PageAngles::Angle AngleAt(double radians) {
  return {static_cast<float>(std::cos(radians)), static_cast<float>(std::sin(radians))};
}

bool IsRemovable(float x) { return std::abs(x) <= kLargestBias; }  // false for NaN

// Moves what stands out of one head's bias to `removed`; returns its pairs, whose `angle` is that of the
// rotation.
std::vector<HeadKeyBias::Pair> Remove(const Rotation& rotation, const float* bias, double average,
                                      size_t key_dim, float* removed) {
  std::vector<HeadKeyBias::Pair> pairs;
  double left = 0.0;  // sum of squares
  const auto square = [](const HeadKeyBias::Pair& pair) {
    return static_cast<double>(pair.x) * pair.x + static_cast<double>(pair.y) * pair.y;
  };
  for (size_t i = 0; i < rotation.frequencies.size(); ++i) {
    const size_t first = rotation.First(i), second = rotation.Second(i);
    if (!IsRemovable(bias[first]) || !IsRemovable(bias[second])) continue;
    pairs.push_back({first, second, bias[first], bias[second], i});
    left += square(pairs.back());
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [&](const auto& a, const auto& b) { return square(a) > square(b); });
  const double most_left = kMostLeft * static_cast<double>(rotation.frequencies.size()) * average * average;
  size_t count = 0;
  while (count < pairs.size() && square(pairs[count]) > 0.0 &&
         (square(pairs[count]) > average * average || left > most_left)) {
    left -= square(pairs[count++]);
  }
  pairs.resize(count);
  std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.angle < b.angle; });
  for (const HeadKeyBias::Pair& pair : pairs) {
    removed[pair.first] = pair.x;
    removed[pair.second] = pair.y;
  }
  for (HeadKeyBias::Pair& pair : pairs) {
    pair.x *= static_cast<float>(rotation.magnitude);
    pair.y *= static_cast<float>(rotation.magnitude);
  }
  for (size_t j = 2 * rotation.frequencies.size(); j < key_dim; ++j) {
    if (IsRemovable(bias[j])) removed[j] = bias[j];
  }
  return pairs;
}

}  // namespace

HWY_EXPORT(AddKeyBiasImpl);

PageAngles::PageAngles(std::vector<double> frequencies, int pages)
    : frequencies_(std::move(frequencies)), pages_(pages) {
  for (const double frequency : frequencies_) {
    float cosines[kv::kPageTokens / 2], sines[kv::kPageTokens / 2];
    for (int t = 0; t < kv::kPageTokens / 2; ++t) {
      const Angle angle = AngleAt((t + 0.5) * frequency);
      cosines[t] = angle.cosine;
      sines[t] = angle.sine;
    }
    within_.insert(within_.end(), std::begin(cosines), std::end(cosines));
    within_.insert(within_.end(), std::begin(sines), std::end(sines));
  }
  for (int page = 0; page < pages; ++page) {
    for (size_t i = 0; i < frequencies_.size(); ++i) middles_.push_back(Compute(i, page));
  }
}

PageAngles::Angle PageAngles::Compute(size_t i, int page) const {
  return AngleAt((static_cast<double>(page) * kv::kPageTokens + 0.5 * (kv::kPageTokens - 1)) *
                 frequencies_[i]);
}

std::shared_ptr<const KeyBias> MakeKeyBias(std::span<const BiasOfLayer> layers, int max_tokens) {
  const auto result = std::make_shared<KeyBias>();
  std::map<const Rotation*, std::vector<size_t>> used;  // pairs of each rotation, in order, each once
  bool any = false;
  for (const BiasOfLayer& of : layers) {
    THRONG_CHECK(!of.averages.empty() && of.bias.size() % of.averages.size() == 0);
    const size_t dim = of.bias.size() / of.averages.size();
    LayerKeyBias layer{std::vector<float>(of.bias.size()), {}};
    for (size_t head = 0; head < of.averages.size(); ++head) {
      layer.heads.push_back({Remove(*of.rotation, of.bias.data() + head * dim, of.averages[head], dim,
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
  float* const sines = row + bias.Padded();
  std::fill(row, row + bias.RowSize(), 0.0f);
  for (size_t p = 0; p < bias.pairs.size(); ++p) {
    const HeadKeyBias::Pair& pair = bias.pairs[p];
    const float x = kv::Finite(query[pair.first] * scale), y = kv::Finite(query[pair.second] * scale);
    row[p] = x * pair.x + y * pair.y;
    sines[p] = y * pair.x - x * pair.y;
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
