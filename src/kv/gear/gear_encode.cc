#include "kv/gear/gear_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "base/rng.h"

namespace throng::kv {
namespace {

constexpr float kLargest = 65504.0f;
constexpr int kSweeps = 3;

// A page on its way into bytes, as [rows, lanes].
struct Page {
  explicit Page(const GearLayout& layout)
      : x(static_cast<size_t>(layout.rows) * layout.lanes),
        decoded(x.size()),
        outlier(x.size()),
        codes(x.size()) {}
  std::vector<float> x;
  std::vector<float> decoded;
  std::vector<uint8_t> outlier;
  std::vector<uint8_t> codes;  // in the order of the layout
};

size_t BlockIndex(const GearLayout& layout, int row, int lane) {
  return layout.part == Part::kKeys ? static_cast<size_t>(lane) * layout.rows + row
                                    : static_cast<size_t>(row) * layout.lanes + lane;
}

size_t CodeIndex(const GearLayout& layout, int row, int lane) {
  return (static_cast<size_t>(row / 4) * layout.lanes + lane) * 4 + row % 4;
}

void Load(const GearLayout& layout, const float* block, Page& page) {
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane) {
      const float x = block[BlockIndex(layout, row, lane)];
      page.x[static_cast<size_t>(row) * layout.lanes + lane] =
          std::isnan(x) ? 0.0f : std::clamp(x, -kLargest, kLargest);
    }
  }
}

// The lanes of one row that share a scale.
struct Span {
  size_t begin, end;
};

Span GroupSpan(const GearLayout& layout, int row, int group) {
  const size_t first = static_cast<size_t>(row) * layout.lanes;
  return {first + static_cast<size_t>(group) * layout.group,
          first + std::min((group + 1) * layout.group, layout.lanes)};
}

double Square(double x) { return x * x; }

// What taking away the lowest or the highest element of a group would bring.
struct Candidate {
  double gain = -1.0;
  size_t element = 0;

  void Update(const Page& page, Span span) {
    size_t low = span.end, high = span.end;
    double second_low = INFINITY, second_high = -INFINITY;
    gain = -1.0;
    for (size_t i = span.begin; i < span.end; ++i) {
      if (page.outlier[i]) continue;
      const double x = page.x[i];
      if (low == span.end || x < page.x[low]) {
        second_low = low == span.end ? INFINITY : page.x[low];
        low = i;
      } else {
        second_low = std::min(second_low, x);
      }
      if (high == span.end || x > page.x[high]) {
        second_high = high == span.end ? -INFINITY : page.x[high];
        high = i;
      } else {
        second_high = std::max(second_high, x);
      }
    }
    if (second_low == INFINITY) return;  // fewer than two are left
    const double range = Square(static_cast<double>(page.x[high]) - page.x[low]);
    const double low_gain = range - Square(page.x[high] - second_low);
    const double high_gain = range - Square(second_high - page.x[low]);
    gain = std::max(low_gain, high_gain);
    element = low_gain >= high_gain ? low : high;
  }
};

void ChooseOutliers(const GearLayout& layout, Page& page) {
  std::vector<Candidate> candidates(static_cast<size_t>(layout.rows) * layout.num_groups);
  const auto update = [&](size_t i) {
    const int row = static_cast<int>(i) / layout.num_groups;
    candidates[i].Update(page, GroupSpan(layout, row, static_cast<int>(i) % layout.num_groups));
  };
  for (size_t i = 0; i < candidates.size(); ++i) update(i);
  for (int entry = 0; entry < layout.entries; ++entry) {
    const auto best =
        std::max_element(candidates.begin(), candidates.end(),
                         [](const Candidate& a, const Candidate& b) { return a.gain < b.gain; });
    if (best->gain < 0.0) return;
    page.outlier[best->element] = 1;
    update(static_cast<size_t>(best - candidates.begin()));
  }
}

void QuantizeSpan(const GearLayout& layout, int row, int group, Page& page, uint8_t* encoded) {
  const Span span = GroupSpan(layout, row, group);
  double low = INFINITY, high = -INFINITY;
  for (size_t i = span.begin; i < span.end; ++i) {
    if (page.outlier[i]) continue;
    low = std::min<double>(low, page.x[i]);
    high = std::max<double>(high, page.x[i]);
  }
  if (low > high) low = high = 0.0;
  const double levels = (1 << layout.bits) - 1;
  const uint16_t scale_bits = FloatToHalf(static_cast<float>((high - low) / levels));
  const uint16_t zero_bits = FloatToHalf(static_cast<float>(low));
  const float scale = HalfToFloat(scale_bits);
  const float zero = HalfToFloat(zero_bits);
  for (size_t i = span.begin; i < span.end; ++i) {
    double code = 0.0;
    if (scale > 0.0f) {
      code = std::clamp(std::nearbyint((static_cast<double>(page.x[i]) - zero) / scale), 0.0, levels);
    }
    const int lane = static_cast<int>(i - static_cast<size_t>(row) * layout.lanes);
    page.codes[CodeIndex(layout, row, lane)] = static_cast<uint8_t>(code);
    page.decoded[i] = static_cast<float>(code) * scale + zero;
  }
  const size_t at = 2 * (static_cast<size_t>(group) * layout.rows + row);
  std::memcpy(encoded + layout.scales + at, &scale_bits, 2);
  std::memcpy(encoded + layout.zeros + at, &zero_bits, 2);
}

// 64 codes, one bit each of which is bit `place` of 64 bytes.
void PutBits(const uint8_t* codes, int shift, int mask, int place, uint8_t* bytes) {
  for (int j = 0; j < kGearSubChunk; ++j) {
    bytes[j] = static_cast<uint8_t>(bytes[j] | (codes[j] >> shift & mask) << place);
  }
}

// 4 bits: 128 codes in 64 bytes. 2 bits: 256 codes in 64. 3 bits: 512 codes, their low two bits in 128 bytes
// as before, then their third bits in 64.
void Pack(const GearLayout& layout, const std::vector<uint8_t>& codes, uint8_t* encoded) {
  std::memset(encoded, 0, layout.count.codes);
  const size_t num_chunks = codes.size() / kGearSubChunk;
  for (size_t i = 0; i < num_chunks; ++i) {
    const uint8_t* from = codes.data() + i * kGearSubChunk;
    const int at = static_cast<int>(i % 8);
    if (layout.bits == 4) {
      PutBits(from, 0, 15, at % 2 * 4, encoded + i / 2 * 64);
    } else if (layout.bits == 2) {
      PutBits(from, 0, 3, at % 4 * 2, encoded + i / 4 * 64);
    } else {
      PutBits(from, 0, 3, at % 4 * 2, encoded + i / 8 * 192 + at / 4 * 64);
      PutBits(from, 2, 1, at, encoded + i / 8 * 192 + 128);
    }
  }
}

int UnpackOne(const GearLayout& layout, const uint8_t* encoded, size_t index) {
  const size_t i = index / kGearSubChunk;
  const size_t j = index % kGearSubChunk;
  if (layout.bits == 4) return encoded[i / 2 * 64 + j] >> (i % 2 * 4) & 15;
  if (layout.bits == 2) return encoded[i / 4 * 64 + j] >> (i % 4 * 2) & 3;
  const uint8_t* group = encoded + i / 8 * 192;
  const size_t at = i % 8;
  return (group[at / 4 * 64 + j] >> (at % 4 * 2) & 3) | (group[128 + j] >> at & 1) << 2;
}

// Gram and Schmidt, twice for accuracy; columns of no length become 0. m: [count, rank].
void Orthonormalize(std::vector<double>& m, int rank) {
  const size_t r = static_cast<size_t>(rank);
  const auto dot = [&](size_t a, size_t b) {
    double sum = 0.0;
    for (size_t i = 0; i < m.size(); i += r) sum += m[i + a] * m[i + b];
    return sum;
  };
  for (size_t j = 0; j < r; ++j) {
    const double before = std::sqrt(dot(j, j));
    for (size_t k = 0; k < 2 * j; ++k) {
      const double along = dot(k % j, j);
      for (size_t i = 0; i < m.size(); i += r) m[i + j] -= along * m[i + k % j];
    }
    const double length = std::sqrt(dot(j, j));
    const double factor = length > 1e-10 * before ? 1.0 / length : 0.0;
    for (size_t i = 0; i < m.size(); i += r) m[i + j] *= factor;
  }
}

// In double precision, where products of five matrices of large values stay finite.
// residual: [64, d], a: [64, rank], b: [d, rank].
void PowerIteration(const std::vector<double>& residual, int rank, std::vector<double>& a,
                    std::vector<double>& b) {
  const size_t r = static_cast<size_t>(rank);
  const size_t d = b.size() / r;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    if (sweep == kSweeps - 1) Orthonormalize(b, rank);
    std::fill(a.begin(), a.end(), 0.0);
    for (size_t t = 0; t < kPageTokens; ++t) {
      for (size_t c = 0; c < d; ++c) {
        for (size_t j = 0; j < r; ++j) a[t * r + j] += residual[t * d + c] * b[c * r + j];
      }
    }
    if (sweep == kSweeps - 1) Orthonormalize(a, rank);
    std::fill(b.begin(), b.end(), 0.0);
    for (size_t t = 0; t < kPageTokens; ++t) {
      for (size_t c = 0; c < d; ++c) {
        for (size_t j = 0; j < r; ++j) b[c * r + j] += residual[t * d + c] * a[t * r + j];
      }
    }
  }
}

// Where factor j of a row lies.
size_t RowFactorIndex(const GearLayout& layout, int row, int j) {
  return (static_cast<size_t>(row / 4) * layout.rank + j) * 4 + row % 4;
}

// One column of a factor, in 8 bits; at(i) is where number i goes. Returns its scale.
template <class At>
double StoreColumn(const std::vector<double>& factor, int rank, int column, uint8_t* to, const At& at) {
  double largest = 0.0;
  for (size_t i = column; i < factor.size(); i += rank) largest = std::max(largest, std::abs(factor[i]));
  const double inverse = largest > 1e-30 ? 127.0 / largest : 0.0;
  for (size_t i = 0; i < factor.size() / rank; ++i) {
    const double rounded = std::nearbyint(factor[i * rank + column] * inverse);
    to[at(static_cast<int>(i))] = static_cast<uint8_t>(static_cast<int8_t>(rounded));
  }
  return inverse > 0.0 ? largest / 127.0 : 0.0;
}

// Adds L to a matrix [rows, lanes].
void AddLowRank(const GearLayout& layout, const uint8_t* encoded, std::vector<float>& matrix) {
  for (int j = 0; j < layout.rank; ++j) {
    const uint8_t* of_lane = encoded + layout.lane_factors + static_cast<size_t>(j) * layout.lanes;
    float scale;
    std::memcpy(&scale, encoded + layout.factor_scales + 4 * j, 4);
    for (int row = 0; row < layout.rows; ++row) {
      const auto of_row = static_cast<int8_t>(encoded[layout.row_factors + RowFactorIndex(layout, row, j)]);
      for (int lane = 0; lane < layout.lanes; ++lane) {
        matrix[static_cast<size_t>(row) * layout.lanes + lane] +=
            static_cast<float>(of_row * static_cast<int8_t>(of_lane[lane])) * scale;
      }
    }
  }
}

void EncodeLowRank(const GearLayout& layout, const std::vector<double>& start, Page& page, uint8_t* encoded) {
  std::vector<double> residual(page.x.size());
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane) {
      const size_t i = static_cast<size_t>(row) * layout.lanes + lane;
      // L shall not lean towards outliers, which S makes exact.
      if (!page.outlier[i]) {
        residual[BlockIndex(layout, row, lane)] = static_cast<double>(page.x[i]) - page.decoded[i];
      }
    }
  }
  std::vector<double> of_tokens(static_cast<size_t>(kPageTokens) * layout.rank);
  std::vector<double> of_channels(start);
  PowerIteration(residual, layout.rank, of_tokens, of_channels);
  const bool keys = layout.part == Part::kKeys;
  for (int j = 0; j < layout.rank; ++j) {
    const double row_scale =
        StoreColumn(keys ? of_channels : of_tokens, layout.rank, j, encoded + layout.row_factors,
                    [&](int row) { return RowFactorIndex(layout, row, j); });
    const double lane_scale = StoreColumn(
        keys ? of_tokens : of_channels, layout.rank, j, encoded + layout.lane_factors,
        [&](int lane) { return static_cast<size_t>(j) * layout.lanes + static_cast<size_t>(lane); });
    const float scale = static_cast<float>(row_scale * lane_scale);
    std::memcpy(encoded + layout.factor_scales + 4 * j, &scale, 4);
  }
  AddLowRank(layout, encoded, page.decoded);
}

// Entries are ordered by how many before them have their lane, then by lane: neighbours add to different
// lanes, so none waits for the one before it.
void EncodeOutliers(const GearLayout& layout, const Page& page, uint8_t* encoded) {
  struct Entry {
    int turn, lane;
    size_t element;
  };
  std::vector<Entry> entries;
  std::vector<int> turns(layout.lanes);
  for (size_t i = 0; i < page.x.size(); ++i) {
    const int lane = static_cast<int>(i % layout.lanes);
    if (page.outlier[i]) entries.push_back({turns[lane]++, lane, i});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.turn != b.turn ? a.turn < b.turn : a.lane < b.lane;
  });
  uint8_t* differences = encoded + layout.differences;
  std::memset(differences, 0, layout.count.sparse);  // entries that are not used add 0 to the first element
  for (size_t i = 0; i < entries.size(); ++i) {
    const size_t element = entries[i].element;
    const float difference = std::clamp(page.x[element] - page.decoded[element], -kLargest, kLargest);
    const uint16_t bits = FloatToHalf(difference);
    std::memcpy(differences + 2 * i, &bits, 2);
    encoded[layout.row_slots + i] = static_cast<uint8_t>(GearSlot(static_cast<int>(element / layout.lanes)));
    encoded[layout.lane_slots + i] = static_cast<uint8_t>(GearSlot(entries[i].lane));
  }
}

}  // namespace

std::vector<double> GearStart(int head_dim, int rank) {
  constexpr uint64_t kSeed = 0x67656172;
  std::vector<double> start(static_cast<size_t>(head_dim) * rank);
  CounterRng rng(kSeed, 0);
  for (double& x : start) x = rng.NextDouble();
  return start;
}

void EncodeGear(const GearLayout& layout, const std::vector<double>& start, const float* block,
                uint8_t* encoded) {
  Page page(layout);
  Load(layout, block, page);
  if (layout.entries > 0) ChooseOutliers(layout, page);
  for (int row = 0; row < layout.rows; ++row) {
    for (int group = 0; group < layout.num_groups; ++group) QuantizeSpan(layout, row, group, page, encoded);
  }
  Pack(layout, page.codes, encoded);
  if (layout.rank > 0) EncodeLowRank(layout, start, page, encoded);
  if (layout.entries > 0) EncodeOutliers(layout, page, encoded);
}

void DecodeGear(const GearLayout& layout, const uint8_t* encoded, float* block) {
  std::vector<float> matrix(static_cast<size_t>(layout.rows) * layout.lanes);
  const auto half = [encoded](size_t offset, size_t i) {
    uint16_t bits;
    std::memcpy(&bits, encoded + offset + 2 * i, 2);
    return HalfToFloat(bits);
  };
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane) {
      const size_t pair = static_cast<size_t>(lane / layout.group) * layout.rows + row;
      const int code = UnpackOne(layout, encoded, CodeIndex(layout, row, lane));
      matrix[static_cast<size_t>(row) * layout.lanes + lane] =
          static_cast<float>(code) * half(layout.scales, pair) + half(layout.zeros, pair);
    }
  }
  AddLowRank(layout, encoded, matrix);
  for (int i = 0; i < layout.entries; ++i) {
    const auto row = static_cast<size_t>(GearSlot(encoded[layout.row_slots + i]));
    const auto lane = static_cast<size_t>(GearSlot(encoded[layout.lane_slots + i]));
    matrix[row * layout.lanes + lane] += half(layout.differences, i);
  }
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane) {
      block[BlockIndex(layout, row, lane)] = matrix[static_cast<size_t>(row) * layout.lanes + lane];
    }
  }
}

}  // namespace throng::kv
