#include "kv/gear/gear_encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include "base/half.h"
#include "base/rng.h"
#include "kv/finite.h"
#include "kv/gear/gear_encode_kernels.h"

namespace throng::kv {
namespace {

constexpr int kSweeps = 3;

// A page while it is encoded, as [rows, lanes].
struct Page {
  // L is 0, and there are no outliers; the rest may be anything.
  void Reset(const GearLayout& layout) {
    x.resize(static_cast<size_t>(layout.rows) * layout.lanes);
    low_rank.assign(layout.rank > 0 ? x.size() : 0, 0.0f);
    rest.resize(x.size());
    decoded.resize(x.size());
    outlier.assign(x.size(), 0);
    codes.resize(x.size());
  }
  std::vector<float> x;
  std::vector<float> low_rank;  // L, as it is decoded
  std::vector<float> rest;      // x - L, which D encodes
  std::vector<float> decoded;   // D
  std::vector<uint8_t> outlier;
  std::vector<uint8_t> codes;  // as [rows, lanes]
};

size_t BlockIndex(const GearLayout& layout, int row, int lane) {
  return layout.part == Part::kKeys ? static_cast<size_t>(lane) * layout.rows + row
                                    : static_cast<size_t>(row) * layout.lanes + lane;
}

size_t CodeIndex(const GearLayout& layout, int row, int lane) {
  return (static_cast<size_t>(row / 4) * layout.lanes + lane) * 4 + row % 4;
}

void Load(const GearLayout& layout, const float* block, Page& page) {
  if (layout.part == Part::kValues) {
    std::copy_n(block, page.x.size(), page.x.begin());
  } else {
    for (int row = 0; row < layout.rows; ++row) {
      for (int lane = 0; lane < layout.lanes; ++lane) {
        page.x[static_cast<size_t>(row) * layout.lanes + lane] = block[BlockIndex(layout, row, lane)];
      }
    }
  }
  ClampGear(page.x.size(), page.x.data());
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

// The gain from removing the lowest or highest element of a group, whichever is larger.
struct Candidate {
  double gain = -1.0;
  size_t element = 0;

  void Update(const Page& page, Span span) {
    const GearExtremes found = FindGearExtremes(page.rest.data() + span.begin,
                                                page.outlier.data() + span.begin, span.end - span.begin);
    gain = -1.0;
    if (found.count < 2) return;
    const double low = found.low, high = found.high;
    const double low_gain = Square(high - low) - Square(high - found.second_low);
    const double high_gain = Square(high - low) - Square(found.second_high - low);
    gain = std::max(low_gain, high_gain);
    element = span.begin + (low_gain >= high_gain ? found.low_index : found.high_index);
  }
};

// Puts the group whose candidate gains most first; ties go to the first group.
struct Later {
  const std::vector<Candidate>& candidates;
  bool operator()(size_t a, size_t b) const {
    const double gain_a = candidates[a].gain, gain_b = candidates[b].gain;
    return gain_a < gain_b || (gain_a == gain_b && a > b);
  }
};

void ChooseOutliers(const GearLayout& layout, Page& page) {
  std::vector<Candidate> candidates(static_cast<size_t>(layout.rows) * layout.num_groups);
  const auto update = [&](size_t i) {
    const int row = static_cast<int>(i) / layout.num_groups;
    candidates[i].Update(page, GroupSpan(layout, row, static_cast<int>(i) % layout.num_groups));
  };
  std::vector<size_t> queue(candidates.size());
  std::iota(queue.begin(), queue.end(), size_t{0});
  for (const size_t i : queue) update(i);
  const Later later{candidates};
  std::make_heap(queue.begin(), queue.end(), later);
  for (int entry = 0; entry < layout.entries; ++entry) {
    const size_t best = queue.front();
    if (candidates[best].gain < 0.0) return;
    std::pop_heap(queue.begin(), queue.end(), later);
    page.outlier[candidates[best].element] = 1;
    update(best);
    std::push_heap(queue.begin(), queue.end(), later);
  }
}

void QuantizeSpan(const GearLayout& layout, int row, int group, Page& page, uint8_t* encoded) {
  const Span span = GroupSpan(layout, row, group);
  const size_t size = span.end - span.begin;
  const uint8_t* flags = layout.entries > 0 ? page.outlier.data() + span.begin : nullptr;
  float low, high;
  if (!FindGearRange(page.rest.data() + span.begin, flags, size, &low, &high)) low = high = 0.0f;
  low += 0.0f;  // which of 0 and -0 is found as the lowest depends on the target's vectors: always 0
  const double levels = (1 << layout.bits) - 1;
  const double range = static_cast<double>(high) - low;
  const uint16_t scale_bits = FloatToHalf(static_cast<float>(range / levels));
  const uint16_t zero_bits = FloatToHalf(low);
  const float scale = HalfToFloat(scale_bits);
  const float zero = HalfToFloat(zero_bits);
  if (scale > 0.0f) {
    QuantizeGear(page.rest.data() + span.begin, size, scale, zero, static_cast<float>(levels),
                 page.codes.data() + span.begin, page.decoded.data() + span.begin);
  } else {
    std::fill_n(page.codes.begin() + static_cast<ptrdiff_t>(span.begin), size, uint8_t{0});
    std::fill_n(page.decoded.begin() + static_cast<ptrdiff_t>(span.begin), size, zero);
  }
  const size_t at = 2 * (static_cast<size_t>(group) * layout.rows + row);
  std::memcpy(encoded + layout.scales + at, &scale_bits, 2);
  std::memcpy(encoded + layout.zeros + at, &zero_bits, 2);
}

// 64 codes, one bit each of which is bit `place` of 64 bytes.
void PutBits(const uint8_t* __restrict codes, int shift, int mask, int place, uint8_t* __restrict bytes) {
  for (int j = 0; j < kGearSubChunk; ++j) {
    bytes[j] = static_cast<uint8_t>(bytes[j] | (codes[j] >> shift & mask) << place);
  }
}

// 4 bits: 128 codes in 64 bytes. 2 bits: 256 codes in 64. 3 bits: 512 codes, their low two bits in 128 bytes
// as before, then their third bits in 64.
void Pack(const GearLayout& layout, const std::vector<uint8_t>& matrix, uint8_t* encoded) {
  std::vector<uint8_t> codes(matrix.size());
  const size_t lanes = static_cast<size_t>(layout.lanes);
  for (size_t at = 0; at < matrix.size(); at += 4 * lanes) {
    InterleaveGear(matrix.data() + at, lanes, codes.data() + at);
  }
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

// The reverse of PutBits.
void TakeBits(const uint8_t* __restrict bytes, int place, int mask, int shift, uint8_t* __restrict codes) {
  for (int j = 0; j < kGearSubChunk; ++j) {
    codes[j] = static_cast<uint8_t>(codes[j] | (bytes[j] >> place & mask) << shift);
  }
}

// The reverse of Pack, in the order of CodeIndex.
std::vector<uint8_t> Unpack(const GearLayout& layout, const uint8_t* encoded) {
  std::vector<uint8_t> codes(static_cast<size_t>(layout.rows) * layout.lanes);
  for (size_t i = 0; i < codes.size() / kGearSubChunk; ++i) {
    uint8_t* to = codes.data() + i * kGearSubChunk;
    const int at = static_cast<int>(i % 8);
    if (layout.bits == 4) {
      TakeBits(encoded + i / 2 * 64, at % 2 * 4, 15, 0, to);
    } else if (layout.bits == 2) {
      TakeBits(encoded + i / 4 * 64, at % 4 * 2, 3, 0, to);
    } else {
      TakeBits(encoded + i / 8 * 192 + at / 4 * 64, at % 4 * 2, 3, 0, to);
      TakeBits(encoded + i / 8 * 192 + 128, at, 1, 2, to);
    }
  }
  return codes;
}

// Gram and Schmidt, twice for accuracy; rows of no length become 0. m: [rank, count].
void Orthonormalize(std::vector<double>& m, int rank) {
  const size_t r = static_cast<size_t>(rank);
  const size_t count = m.size() / r;
  const auto dot = [&](size_t a, size_t b) {
    return DotGear(m.data() + a * count, m.data() + b * count, count);
  };
  for (size_t j = 0; j < r; ++j) {
    const double before = std::sqrt(dot(j, j));
    for (size_t k = 0; k < 2 * j; ++k) {
      const double along = dot(k % j, j);
      for (size_t i = 0; i < count; ++i) m[j * count + i] -= along * m[k % j * count + i];
    }
    const double length = std::sqrt(dot(j, j));
    const double factor = length > 1e-10 * before ? 1.0 / length : 0.0;
    for (size_t i = 0; i < count; ++i) m[j * count + i] *= factor;
  }
}

// The factors of L, one row for each column of the papers' A and B.
struct Factors {
  std::vector<double> of_rows;   // [rank, rows]
  std::vector<double> of_lanes;  // [rank, lanes]
};

// residual: [rows, lanes]. Starts from the channels' factors. In double precision, in which products of five
// matrices of large values stay finite.
void PowerIteration(const GearLayout& layout, const std::vector<double>& residual, Factors& factors) {
  const auto rows = static_cast<size_t>(layout.rows);
  const auto lanes = static_cast<size_t>(layout.lanes);
  const auto rank = static_cast<size_t>(layout.rank);
  const bool keys = layout.part == Part::kKeys;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    const bool last = sweep == kSweeps - 1;
    for (const bool to_lanes : {keys, !keys}) {
      std::vector<double>& from = to_lanes ? factors.of_rows : factors.of_lanes;
      if (last) Orthonormalize(from, layout.rank);
      to_lanes ? MultiplyGear(residual.data(), rows, lanes, from.data(), rank, factors.of_lanes.data())
               : MultiplyGearRows(residual.data(), rows, lanes, from.data(), rank, factors.of_rows.data());
    }
  }
}

// Index of factor j of a row.
size_t RowFactorIndex(const GearLayout& layout, int row, int j) {
  return (static_cast<size_t>(row / 4) * layout.rank + j) * 4 + row % 4;
}

// Stores one row of a factor [rank, count] in 8 bits, number i at at(i). Returns its scale.
template <class At>
double StoreFactor(const double* factor, size_t count, uint8_t* to, const At& at) {
  double largest = 0.0;
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(factor[i]));
  const double inverse = largest > 1e-30 ? 127.0 / largest : 0.0;
  for (size_t i = 0; i < count; ++i) {
    to[at(static_cast<int>(i))] =
        static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(factor[i] * inverse)));
  }
  return inverse > 0.0 ? largest / 127.0 : 0.0;
}

// Adds L to a matrix [rows, lanes].
void AddLowRank(const GearLayout& layout, const uint8_t* encoded, std::vector<float>& matrix) {
  if (layout.rank == 0) return;
  const auto lanes = static_cast<size_t>(layout.lanes);
  const auto rank = static_cast<size_t>(layout.rank);
  float scales[kGearMaxRank], of_row[kGearMaxRank], of_lanes[kGearMaxRank * kMaxHeadDim];
  std::memcpy(scales, encoded + layout.factor_scales, rank * sizeof(float));
  for (size_t i = 0; i < rank * lanes; ++i) {
    of_lanes[i] = static_cast<float>(static_cast<int8_t>(encoded[layout.lane_factors + i]));
  }
  for (int row = 0; row < layout.rows; ++row) {
    for (int j = 0; j < layout.rank; ++j) {
      const uint8_t byte = encoded[layout.row_factors + RowFactorIndex(layout, row, j)];
      of_row[j] = static_cast<float>(static_cast<int8_t>(byte));
    }
    AddGearProducts(scales, of_row, of_lanes, rank, lanes, matrix.data() + static_cast<size_t>(row) * lanes);
  }
}

// Fits L to what D leaves, again and again: each fit starts from the one before.
class LowRankFit {
 public:
  // start: GearStart.
  LowRankFit(const GearLayout& layout, const std::vector<double>& start)
      : layout_(layout), residual_(static_cast<size_t>(layout.rows) * layout.lanes) {
    const auto rank = static_cast<size_t>(layout.rank);
    const size_t d = start.size() / rank;
    start_.resize(start.size());
    for (size_t i = 0; i < start.size(); ++i) start_[i % rank * d + i / rank] = start[i];
    factors_.of_rows.resize(rank * static_cast<size_t>(layout.rows));
    factors_.of_lanes.resize(rank * static_cast<size_t>(layout.lanes));
  }

  // Writes the factors and page.low_rank.
  void Fit(Page& page, uint8_t* encoded) {
    StartLostDirections();
    GearResidual(page.x.data(), page.decoded.data(), page.low_rank.data(), page.outlier.data(),
                 residual_.size(), residual_.data());
    PowerIteration(layout_, residual_, factors_);
    Store(encoded);
    std::fill(page.low_rank.begin(), page.low_rank.end(), 0.0f);
    AddLowRank(layout_, encoded, page.low_rank);
  }

 private:
  // A direction for which nothing was left, or which was never fitted, may be needed now.
  void StartLostDirections() {
    std::vector<double>& of_channels = layout_.part == Part::kKeys ? factors_.of_rows : factors_.of_lanes;
    const auto d = static_cast<ptrdiff_t>(start_.size()) / layout_.rank;
    for (ptrdiff_t j = 0; j < layout_.rank; ++j) {
      const auto row = of_channels.begin() + j * d;
      if (std::all_of(row, row + d, [](double x) { return x == 0.0; })) {
        std::copy_n(start_.begin() + j * d, d, row);
      }
    }
  }

  void Store(uint8_t* encoded) const {
    const auto rows = static_cast<size_t>(layout_.rows);
    const auto lanes = static_cast<size_t>(layout_.lanes);
    for (int j = 0; j < layout_.rank; ++j) {
      const auto at = static_cast<size_t>(j);
      const double row_scale =
          StoreFactor(factors_.of_rows.data() + at * rows, rows, encoded + layout_.row_factors,
                      [&](int row) { return RowFactorIndex(layout_, row, j); });
      const double lane_scale =
          StoreFactor(factors_.of_lanes.data() + at * lanes, lanes, encoded + layout_.lane_factors,
                      [&](int lane) { return at * lanes + static_cast<size_t>(lane); });
      const float scale = static_cast<float>(row_scale * lane_scale);
      std::memcpy(encoded + layout_.factor_scales + 4 * at, &scale, 4);
    }
  }

  const GearLayout& layout_;
  std::vector<double> start_;     // [rank, d]
  std::vector<double> residual_;  // [rows, lanes]
  Factors factors_;
};

// D as the groups' means: what the first fit leaves to the zeros.
void DecodeMeans(const GearLayout& layout, Page& page) {
  for (int row = 0; row < layout.rows; ++row) {
    for (int group = 0; group < layout.num_groups; ++group) {
      const Span span = GroupSpan(layout, row, group);
      const size_t size = span.end - span.begin;
      const double mean = SumGear(page.x.data() + span.begin, size) / static_cast<double>(size);
      std::fill_n(page.decoded.begin() + static_cast<ptrdiff_t>(span.begin), size, static_cast<float>(mean));
    }
  }
}

void SubtractLowRank(Page& page) {
  SubtractGear(page.x.data(), page.low_rank.data(), page.x.size(), page.rest.data());
}

// Orders entries by the number of earlier entries in their lane, then by lane: neighbours add to different
// lanes, so no entry waits for the one before it.
void EncodeOutliers(const GearLayout& layout, const Page& page, uint8_t* encoded) {
  struct Entry {
    int turn, lane;
    size_t element;
  };
  std::vector<Entry> entries;
  std::vector<int> turns(layout.lanes);
  const uint8_t* flag = page.outlier.data();
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane, ++flag) {
      if (*flag) entries.push_back({turns[lane]++, lane, static_cast<size_t>(flag - page.outlier.data())});
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.turn != b.turn ? a.turn < b.turn : a.lane < b.lane;
  });
  uint8_t* differences = encoded + layout.differences;
  std::memset(differences, 0, layout.count.sparse);  // unused entries add 0 to the first element
  for (size_t i = 0; i < entries.size(); ++i) {
    const size_t element = entries[i].element;
    const float difference = Finite(page.x[element] - page.decoded[element]);
    const uint16_t bits = FloatToHalf(difference);
    std::memcpy(differences + 2 * i, &bits, 2);
    const auto row = static_cast<int>(element / static_cast<size_t>(layout.lanes));
    layout.StoreSlots({GearSlot(row), GearSlot(entries[i].lane)}, static_cast<int>(i), encoded);
  }
}

// Chooses S and fits D and L: in turns, `rounds` times, or with rounds = 0 once, D first.
void FitParts(const GearLayout& layout, const std::vector<double>& start, int rounds, Page& page,
              uint8_t* encoded) {
  page.rest = page.x;
  std::optional<LowRankFit> fit;
  if (layout.rank > 0) fit.emplace(layout, start);
  if (rounds > 0) {
    DecodeMeans(layout, page);
    fit->Fit(page, encoded);
    SubtractLowRank(page);
  }
  if (layout.entries > 0) ChooseOutliers(layout, page);
  for (int round = 1;; ++round) {
    for (int row = 0; row < layout.rows; ++row) {
      for (int group = 0; group < layout.num_groups; ++group) QuantizeSpan(layout, row, group, page, encoded);
    }
    if (fit) fit->Fit(page, encoded);
    if (round >= rounds) break;
    SubtractLowRank(page);
  }
}

// Of D + L; S has none.
double SquaredError(const GearLayout& layout, const Page& page) {
  const auto lanes = static_cast<size_t>(layout.lanes);
  double sum = 0.0;
  for (size_t at = 0; at < page.x.size(); at += lanes) {
    sum += GearSquaredError(page.x.data() + at, page.decoded.data() + at, page.low_rank.data() + at,
                            page.outlier.data() + at, lanes);
  }
  return sum;
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
  // Of each thread: the allocator would return so much memory to the system after each page.
  thread_local Page page, once;
  page.Reset(layout);
  Load(layout, block, page);
  if (layout.FitsBothWays()) {
    once.Reset(layout);
    std::copy(page.x.begin(), page.x.end(), once.x.begin());
    std::vector<uint8_t> bytes(layout.differences);
    FitParts(layout, start, layout.rounds, page, encoded);
    FitParts(layout, start, /*rounds=*/0, once, bytes.data());
    if (SquaredError(layout, once) < SquaredError(layout, page)) {
      std::swap(page, once);
      std::copy(bytes.begin(), bytes.end(), encoded);
    }
  } else {
    FitParts(layout, start, layout.rounds, page, encoded);
  }
  Pack(layout, page.codes, encoded);
  AddLowRank(layout, encoded, page.decoded);
  if (layout.entries > 0) EncodeOutliers(layout, page, encoded);
}

void DecodeGear(const GearLayout& layout, const uint8_t* encoded, float* block) {
  std::vector<float> matrix(static_cast<size_t>(layout.rows) * layout.lanes);
  const auto half = [encoded](size_t offset, size_t i) {
    uint16_t bits;
    std::memcpy(&bits, encoded + offset + 2 * i, 2);
    return HalfToFloat(bits);
  };
  const std::vector<uint8_t> codes = Unpack(layout, encoded);
  for (int row = 0; row < layout.rows; ++row) {
    for (int group = 0; group < layout.num_groups; ++group) {
      const size_t pair = static_cast<size_t>(group) * layout.rows + row;
      const float scale = half(layout.scales, pair), zero = half(layout.zeros, pair);
      const Span span = GroupSpan(layout, row, group);
      const uint8_t* code = codes.data() + CodeIndex(layout, row, group * layout.group);
      for (size_t i = span.begin; i < span.end; ++i, code += 4) {
        matrix[i] = static_cast<float>(*code) * scale + zero;
      }
    }
  }
  AddLowRank(layout, encoded, matrix);
  for (int i = 0; i < layout.entries; ++i) {
    const GearSlots slots = layout.LoadSlots(encoded, i);
    const auto row = static_cast<size_t>(GearSlot(slots.row)),
               lane = static_cast<size_t>(GearSlot(slots.lane));
    matrix[row * layout.lanes + lane] += half(layout.differences, i);
  }
  for (int row = 0; row < layout.rows; ++row) {
    for (int lane = 0; lane < layout.lanes; ++lane) {
      block[BlockIndex(layout, row, lane)] = matrix[static_cast<size_t>(row) * layout.lanes + lane];
    }
  }
}

}  // namespace throng::kv
