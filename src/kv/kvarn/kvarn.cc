#include "kv/kvarn/kvarn.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/text/key_values.h"
#include "kv/finite.h"
#include "kv/gear/gear_encode.h"
#include "kv/gear/gear_kernels.h"
#include "kv/kvarn/kvarn_balance.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kv/kvarn/kvarn.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kv/finite-inl.h"
#include "kv/rot/hadamard-inl.h"

HWY_BEFORE_NAMESPACE();
namespace throng::kv {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out = H (row * before) * after. before, after: [size], or null for ones. out may be row.
void TransformRow(const float* row, const float* before, const float* after, int size, float* out) {
  const hn::CappedTag<float, 8> df;
  for (size_t i = 0; i < static_cast<size_t>(size); i += hn::Lanes(df)) {
    auto x = FiniteLanes(df, hn::LoadU(df, row + i), hwy::HighestValue<float>());
    if (before != nullptr) x = hn::Mul(x, hn::LoadU(df, before + i));
    hn::StoreU(x, df, out + i);
  }
  HadamardBlocks(out, static_cast<size_t>(size));
  if (after == nullptr) return;
  for (size_t i = 0; i < static_cast<size_t>(size); i += hn::Lanes(df)) {
    hn::StoreU(hn::Mul(hn::LoadU(df, out + i), hn::LoadU(df, after + i)), df, out + i);
  }
}

void MultiplyRow(const float* factors, int size, float* row) {
  const hn::CappedTag<float, 8> df;
  for (size_t i = 0; i < static_cast<size_t>(size); i += hn::Lanes(df)) {
    hn::StoreU(hn::Mul(hn::LoadU(df, row + i), hn::LoadU(df, factors + i)), df, row + i);
  }
}

// out = out * rescale + added.
void AddRow(const float* added, float rescale, int size, float* out) {
  const hn::CappedTag<float, 8> df;
  const auto scale = hn::Set(df, rescale);
  for (size_t i = 0; i < static_cast<size_t>(size); i += hn::Lanes(df)) {
    hn::StoreU(hn::MulAdd(hn::LoadU(df, out + i), scale, hn::LoadU(df, added + i)), df, out + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace throng::kv
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace throng::kv {
namespace {

HWY_EXPORT(TransformRow);
HWY_EXPORT(MultiplyRow);
HWY_EXPORT(AddRow);

constexpr int kUsualKeyBits = 4, kUsualValueBits = 2;
constexpr int kRowsAtOnce = 16;  // of Mix, whose sums are rotated back

GearLayout LayoutOf(Part part, int head_dim, int bits) {
  const int lanes = part == Part::kKeys ? kPageTokens : head_dim;
  return {part, head_dim, bits, /*group=*/lanes, /*rank=*/0, /*entries=*/0, /*rounds=*/0};
}

class Kvarn : public Codec {
 public:
  Kvarn(int key_bits, int value_bits, int head_dim)
      : head_dim_(head_dim),
        keys_(LayoutOf(Part::kKeys, head_dim, key_bits)),
        values_(LayoutOf(Part::kValues, head_dim, value_bits)) {
    int rest = head_dim;
    int i = 0;
    for (int block = 1 << 16; rest > 0; block /= 2) {
      if ((rest & block) == 0) continue;
      std::fill_n(norms_ + i, block, static_cast<float>(1.0 / std::sqrt(static_cast<double>(block))));
      i += block;
      rest -= block;
    }
  }

  std::string Name() const override {
    std::string text;
    if (keys_.bits != kUsualKeyBits) text = fmt::format("k={}", keys_.bits);
    if (values_.bits != kUsualValueBits) text += fmt::format("{}v={}", text.empty() ? "" : ",", values_.bits);
    return text.empty() ? "kvarn" : "kvarn:" + text;
  }
  ByteCounts Count(Part part) const override {
    const GearLayout& layout = Layout(part);
    ByteCounts count = layout.count;
    count.scales += sizeof(uint16_t) * static_cast<size_t>(layout.lanes);
    return count;
  }

  void Encode(Part part, const float* block, uint8_t* encoded) const override {
    std::vector<float> page(static_cast<size_t>(kPageTokens) * head_dim_);
    float row[kMaxHeadDim];
    for (size_t at = 0; at < page.size(); at += head_dim_) {
      for (int i = 0; i < head_dim_; ++i) row[i] = Finite(block[at + i]);
      HWY_DYNAMIC_DISPATCH(TransformRow)(row, nullptr, norms_, head_dim_, page.data() + at);
    }
    const GearLayout& layout = Layout(part);
    const std::vector<uint16_t> columns = Columns(part, page);
    std::memcpy(encoded + layout.count.Total(), columns.data(), 2 * columns.size());
    float factors[kMaxHeadDim];
    LoadColumns(layout, encoded, factors);
    for (int t = 0; t < kPageTokens; ++t) {
      float* token = page.data() + static_cast<size_t>(t) * head_dim_;
      if (part == Part::kKeys) {
        for (int i = 0; i < head_dim_; ++i) token[i] /= factors[t];
      } else {
        for (int i = 0; i < head_dim_; ++i) token[i] /= factors[i];
      }
    }
    EncodeGear(layout, {}, page.data(), encoded);
  }

  void Decode(Part part, const uint8_t* encoded, float* block) const override {
    const GearLayout& layout = Layout(part);
    float columns[kMaxHeadDim];
    LoadColumns(layout, encoded, columns);
    DecodeGear(layout, encoded, block);
    const size_t size = static_cast<size_t>(kPageTokens) * head_dim_;
    for (size_t i = 0; i < size; ++i) block[i] *= columns[ColumnOf(part, i)];
    for (size_t at = 0; at < size; at += head_dim_) {
      HWY_DYNAMIC_DISPATCH(TransformRow)(block + at, nullptr, norms_, head_dim_, block + at);
    }
  }

  size_t QueryBytes() const override { return RoundUp64(head_dim_ * sizeof(float)); }
  void PrepareQuery(const float* query, void* prepared) const override {
    auto* rotated = static_cast<float*>(prepared);
    CopyFinite(query, head_dim_, rotated);
    HWY_DYNAMIC_DISPATCH(TransformRow)(rotated, nullptr, norms_, head_dim_, rotated);
  }
  void Score(const uint8_t* keys, const void* prepared, int num_rows, float* scores) const override {
    ApplyGear(keys_, keys, static_cast<const float*>(prepared), QueryBytes() / sizeof(float), num_rows,
              nullptr, scores);
    float columns[kMaxHeadDim];
    LoadColumns(keys_, keys, columns);
    for (int r = 0; r < num_rows; ++r) {
      HWY_DYNAMIC_DISPATCH(MultiplyRow)(columns, kPageTokens, scores + static_cast<size_t>(r) * kPageTokens);
    }
  }
  void Mix(const uint8_t* values, const float* probabilities, const float* rescale, int num_rows,
           float* out) const override {
    const auto d = static_cast<size_t>(head_dim_);
    float columns[kMaxHeadDim];
    LoadColumns(values_, values, columns);
    alignas(64) float sums[kRowsAtOnce * kMaxHeadDim];
    for (int first = 0; first < num_rows; first += kRowsAtOnce) {
      const int rows = std::min(kRowsAtOnce, num_rows - first);
      ApplyGear(values_, values, probabilities + static_cast<size_t>(first) * kPageTokens, kPageTokens, rows,
                nullptr, sums);
      for (int r = 0; r < rows; ++r) {
        float* row = sums + static_cast<size_t>(r) * d;
        HWY_DYNAMIC_DISPATCH(TransformRow)(row, columns, norms_, head_dim_, row);
        HWY_DYNAMIC_DISPATCH(AddRow)
        (row, rescale[first + r], head_dim_, out + static_cast<size_t>(first + r) * d);
      }
    }
  }

 private:
  const GearLayout& Layout(Part part) const { return part == Part::kKeys ? keys_ : values_; }
  // The column of element i of a block [64, d].
  size_t ColumnOf(Part part, size_t i) const {
    return part == Part::kKeys ? i / static_cast<size_t>(head_dim_) : i % static_cast<size_t>(head_dim_);
  }

  // The columns' factors of a rotated block, as half floats.
  std::vector<uint16_t> Columns(Part part, const std::vector<float>& page) const {
    const GearLayout& layout = Layout(part);
    const auto rows = static_cast<size_t>(layout.rows), lanes = static_cast<size_t>(layout.lanes);
    std::vector<double> matrix(page.size());
    if (part == Part::kValues) {
      std::copy(page.begin(), page.end(), matrix.begin());
    } else {
      for (size_t channel = 0; channel < rows; ++channel) {
        for (size_t t = 0; t < lanes; ++t) matrix[channel * lanes + t] = page[t * rows + channel];
      }
    }
    std::vector<uint16_t> halves;
    for (const double factor : BalanceColumns(matrix, rows, lanes)) {
      halves.push_back(FloatToHalf(static_cast<float>(factor)));
    }
    return halves;
  }
  void LoadColumns(const GearLayout& layout, const uint8_t* encoded, float* columns) const {
    for (int i = 0; i < layout.lanes; ++i) {
      uint16_t bits;
      std::memcpy(&bits, encoded + layout.count.Total() + 2 * static_cast<size_t>(i), 2);
      columns[i] = HalfToFloat(bits);
    }
  }

  const int head_dim_;
  const GearLayout keys_, values_;
  alignas(64) float norms_[kMaxHeadDim] = {};  // make the transform orthonormal
};

}  // namespace

std::shared_ptr<const Codec> MakeKvarn(KeyValues& parameters, int head_dim) {
  const int key_bits = parameters.Int("k", kUsualKeyBits, 2, 4);
  const int value_bits = parameters.Int("v", kUsualValueBits, 2, 4);
  return std::make_shared<Kvarn>(key_bits, value_bits, head_dim);
}

}  // namespace throng::kv
#endif  // HWY_ONCE
