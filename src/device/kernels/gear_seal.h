// Seals pages of kivi, gearl and gear with their usual parameters: the bytes that kv/gear/gear_encode.cc
// makes, bit for bit.
#pragma once

#include <type_traits>

#include "device/intrinsics.h"
#include "device/kernels/gear_fit.h"
#include "device/kernels/gear_outliers.h"
#include "device/kernels/gear_part.h"
#include "device/kernels/page_row.h"
#include "device/kernels/quantize.h"
#include "device/kernels/seal_job.h"

namespace throng::device {

struct NoFit {};

// One part of a page, as a matrix [rows, lanes] whose rows are cut into groups of 64 lanes.
template <int kBits, int kRows, int kLanes, int kRank, int kEntries, int kRounds, bool kValues>
struct SealGearPart {
  using Part = GearPart<kBits, kRows, kLanes, kRank, kEntries>;
  using Fit = std::conditional_t<(kRank > 0), GearFit<kRows, kLanes, kRank>, NoFit>;
  static_assert(kRank == 0 || kRounds > 0);
  static constexpr int kElements = kRows * kLanes;
  static constexpr int kSpans = kElements / 64;  // groups of all rows, a row's groups one after the other
  static constexpr int kSpansOfRow = kLanes / 64;
  static constexpr float kLevels = (1 << kBits) - 1;
  static constexpr bool kBothWays = kRank > 0 && kBits == 2;  // GearLayout::FitsBothWays

  struct Shared {
    Fit fit;
    float zeros[kSpans];  // D as it is decoded; before the first one, the groups' means
    float scales[kSpans];
    uint8_t codes[kElements];
    // Only with outliers.
    uint8_t flags[kEntries > 0 ? kElements : 1];
    GearCandidate candidates[kEntries > 0 ? kSpans : 1];
    uint8_t counts[kEntries > 0 ? kLanes : 1];  // outliers of each lane
    float rest[kRank > 0 ? 1 : kElements];      // x - L; with a low-rank part, in the residual's place
    double errors[kBothWays ? kRows : 1];       // of each row, squared
  };

  static THRONG_DEVICE void Run(const SealJob& job, const double* start, Shared& shared) {
    FitParts(job, start, kRounds, shared);
    Review(job, shared);
    if constexpr (kBothWays) {
      const double in_turns = SquaredError(shared);
      Store(job, shared);
      if constexpr (kEntries > 0) Barrier();
      FitParts(job, start, 0, shared);
      Review(job, shared);
      if (!(SquaredError(shared) < in_turns)) return;
    }
    Store(job, shared);
  }

 private:
  // rounds: as of GearLayout.
  static THRONG_DEVICE void FitParts(const SealJob& job, const double* start, int rounds, Shared& shared) {
    float* rest = Rest(shared);
    if constexpr (kEntries > 0) {
      for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) shared.flags[e] = 0;
    }
    if constexpr (kRank > 0) shared.fit.Clear();
    if (rounds > 0) {
      if constexpr (kRank > 0) {
        for (int s = ThreadIndex(); s < kSpans; s += BlockThreads()) SetMean(job, s, shared);
        for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) shared.codes[e] = 0;
        Barrier();
        FitLowRank(job, start, shared);
        for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) rest[e] = Left(job, e, shared);
      }
    } else {
      for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) rest[e] = Element(job, e);
    }
    Barrier();
    if constexpr (kEntries > 0) MarkOutliers(rest, shared);
    QuantizeAll(rest, shared);
    if constexpr (kRank > 0) {
      FitLowRank(job, start, shared);
      for (int round = 1; round < rounds; ++round) {
        for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) rest[e] = Left(job, e, shared);
        Barrier();
        QuantizeAll(rest, shared);
        FitLowRank(job, start, shared);
      }
    }
  }

  // What Store and SquaredError have to know of the whole page.
  static THRONG_DEVICE void Review(const SealJob& job, Shared& shared) {
    if constexpr (kEntries > 0) {
      for (int lane = ThreadIndex(); lane < kLanes; lane += BlockThreads()) {
        int32_t count = 0;
        for (int row = 0; row < kRows; ++row) count += shared.flags[row * kLanes + lane];
        shared.counts[lane] = static_cast<uint8_t>(count);
      }
    }
    if constexpr (kBothWays) {
      for (int row = ThreadIndex(); row < kRows; row += BlockThreads()) SetError(job, row, shared);
    }
    if constexpr (kEntries > 0 || kBothWays) Barrier();
  }
  // Of D + L, without outliers.
  static THRONG_DEVICE void SetError(const SealJob& job, int row, Shared& shared) {
    double sums[8] = {};
    for (int lane = 0; lane < kLanes; lane += 8) {
      THRONG_UNROLL
      for (int i = 0; i < 8; ++i) {
        const int e = row * kLanes + lane + i;
        if constexpr (kEntries > 0) {
          if (shared.flags[e] != 0) continue;
        }
        const double left = static_cast<double>(Element(job, e)) - Decoded(shared, e);
        const double error = left - shared.fit.AddTo(0.0f, row, lane + i);
        sums[i] = sums[i] + error * error;
      }
    }
    shared.errors[row] = TotalOf(sums);
  }
  // In the processor's order, by each thread.
  static THRONG_DEVICE double SquaredError(const Shared& shared) {
    double sum = 0.0;
    for (int row = 0; row < kRows; ++row) sum = sum + shared.errors[row];
    return sum;
  }

  static THRONG_DEVICE float* Rest(Shared& shared) {
    if constexpr (kRank > 0) {
      return reinterpret_cast<float*>(shared.fit.residual);
    } else {
      return shared.rest;
    }
  }
  static THRONG_DEVICE float Element(const SealJob& job, int e) {
    return Finite(HalfBitsToFloat(job.rows[e]));
  }
  // D of an element.
  static THRONG_DEVICE float Decoded(const Shared& shared, int e) {
    const float scale = shared.scales[e / 64];
    const float zero = shared.zeros[e / 64];
    return scale > 0.0f ? static_cast<float>(shared.codes[e]) * scale + zero : zero;
  }
  static THRONG_DEVICE float Left(const SealJob& job, int e, const Shared& shared) {
    return Finite(Element(job, e) - shared.fit.AddTo(0.0f, e / kLanes, e % kLanes));
  }

  // Of eight sums, a tree, as on the processor.
  static THRONG_DEVICE double TotalOf(const double (&sums)[8]) {
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
  static THRONG_DEVICE void SetMean(const SealJob& job, int span, Shared& shared) {
    double sums[8] = {};
    for (int e = 64 * span; e < 64 * span + 64; e += 8) {
      THRONG_UNROLL
      for (int i = 0; i < 8; ++i) sums[i] = sums[i] + static_cast<double>(Element(job, e + i));
    }
    shared.zeros[span] = static_cast<float>(TotalOf(sums) / 64.0);
    shared.scales[span] = 0.0f;
  }

  // The caller has waited for D. All threads have L when this returns.
  static THRONG_DEVICE void FitLowRank(const SealJob& job, const double* start, Shared& shared) {
    for (int e = ThreadIndex(); e < kElements; e += BlockThreads()) {
      bool outlier = false;
      if constexpr (kEntries > 0) outlier = shared.flags[e] != 0;
      // Where an outlier makes up the rest, L is asked to stay as it is.
      const double left = outlier ? static_cast<double>(shared.fit.AddTo(0.0f, e / kLanes, e % kLanes))
                                  : static_cast<double>(Element(job, e)) - Decoded(shared, e);
      shared.fit.residual[e / kLanes * Fit::kStride + e % kLanes] = left;
    }
    shared.fit.Run(start, !kValues);
    Barrier();
  }

  static THRONG_DEVICE void MarkOutliers(const float* rest, Shared& shared) {
    for (int s = Warp(); s < kSpans; s += BlockThreads() / kWarpThreads) {
      const GearCandidate candidate = FindCandidate(rest + 64 * s, shared.flags + 64 * s);
      if (Lane() == 0) shared.candidates[s] = candidate;
    }
    Barrier();
    if (Warp() == 0) ChooseOutliers<kSpans, kEntries>(shared.candidates, rest, shared.flags);
    Barrier();
  }

  static THRONG_DEVICE void QuantizeAll(const float* rest, Shared& shared) {
    for (int s = Warp(); s < kSpans; s += BlockThreads() / kWarpThreads) Quantize(s, rest, shared);
    Barrier();
  }
  // A group, by a warp.
  static THRONG_DEVICE void Quantize(int span, const float* rest, Shared& shared) {
    float v[2];
    WarpRange range;
    THRONG_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int e = 64 * span + Lane() + 32 * i;
      v[i] = rest[e];
      bool counts = true;
      if constexpr (kEntries > 0) counts = shared.flags[e] == 0;
      range.Add(v[i], counts, counts);
    }
    range.Reduce();
    const bool any = range.low <= range.high;
    const float low = any ? range.low + 0.0f : 0.0f;  // no negative zero
    const double width = any ? static_cast<double>(range.high) - range.low : 0.0;
    const float scale =
        HalfBitsToFloat(FloatToHalfBits(static_cast<float>(width / static_cast<double>(kLevels))));
    const float zero = HalfBitsToFloat(FloatToHalfBits(low));
    THRONG_UNROLL
    for (int i = 0; i < 2; ++i) {
      double code = 0.0;
      if (scale > 0.0f) {
        code = Round((static_cast<double>(v[i]) - zero) / static_cast<double>(scale));
        code = code < 0.0 ? 0.0 : code > static_cast<double>(kLevels) ? static_cast<double>(kLevels) : code;
      }
      shared.codes[64 * span + Lane() + 32 * i] = static_cast<uint8_t>(code);
    }
    if (Lane() != 0) return;
    shared.scales[span] = scale;
    shared.zeros[span] = zero;
  }

  static THRONG_DEVICE void Store(const SealJob& job, const Shared& shared) {
    auto* words = reinterpret_cast<uint32_t*>(job.page);
    for (int w = ThreadIndex(); w < Part::kScales / 4; w += BlockThreads()) words[w] = Word(shared, w);
    for (int span = ThreadIndex(); span < kSpans; span += BlockThreads()) {
      const int at = span % kSpansOfRow * kRows + span / kSpansOfRow;
      reinterpret_cast<uint16_t*>(job.page + Part::kScales)[at] = FloatToHalfBits(shared.scales[span]);
      reinterpret_cast<uint16_t*>(job.page + Part::kZeros)[at] = FloatToHalfBits(shared.zeros[span]);
    }
    if constexpr (kRank > 0) StoreFactors(job, shared);
    if constexpr (kEntries > 0) StoreOutliers(job, shared);
  }
  // Codes come in chunks of 64, 16 lanes of 4 rows, and a word has its bits of 8 / kBits chunks.
  static THRONG_DEVICE uint32_t Word(const Shared& shared, int w) {
    constexpr int kChunks = 8 / kBits;
    uint32_t word = 0;
    THRONG_UNROLL
    for (int i = 0; i < kChunks; ++i) {
      const int lane_of_all = (w / 16 * kChunks + i) * 16 + w % 16;  // of all quads of rows
      const int row = lane_of_all / kLanes * 4;
      THRONG_UNROLL
      for (int byte = 0; byte < 4; ++byte) {
        const uint32_t code = shared.codes[(row + byte) * kLanes + lane_of_all % kLanes];
        word |= code << (8 * byte + i * kBits);
      }
    }
    return word;
  }
  static THRONG_DEVICE void StoreFactors(const SealJob& job, const Shared& shared) {
    for (int e = ThreadIndex(); e < kRank * kRows; e += BlockThreads()) {
      const int row = e / (4 * kRank) * 4 + e % 4;
      job.page[Part::kRowFactors + e] = static_cast<uint8_t>(shared.fit.row_codes[e / 4 % kRank][row]);
    }
    for (int e = ThreadIndex(); e < kRank * kLanes; e += BlockThreads()) {
      job.page[Part::kLaneFactors + e] = static_cast<uint8_t>(shared.fit.lane_codes[e / kLanes][e % kLanes]);
    }
    if (ThreadIndex() < kRank) {
      reinterpret_cast<float*>(job.page + Part::kFactorScales)[ThreadIndex()] =
          shared.fit.scales[ThreadIndex()];
    }
  }

  // Entries are ordered by the number of earlier ones in their lane, then by lane. A thread has a lane.
  static THRONG_DEVICE void StoreOutliers(const SealJob& job, const Shared& shared) {
    for (int lane = ThreadIndex(); lane < kLanes; lane += BlockThreads()) {
      int turn = 0;
      for (int row = 0; row < kRows; ++row) {
        if (shared.flags[row * kLanes + lane] == 0) continue;
        int entry = 0;
        for (int other = 0; other < kLanes; ++other) {
          const int count = shared.counts[other];
          entry += (count < turn ? count : turn) + (other < lane && count > turn ? 1 : 0);
        }
        ++turn;
        const int e = row * kLanes + lane;
        float decoded = Decoded(shared, e);
        if constexpr (kRank > 0) decoded = shared.fit.AddTo(decoded, row, lane);
        StoreEntry(job, entry, FloatToHalfBits(Finite(Element(job, e) - decoded)), FromSlot(row),
                   FromSlot(lane));
      }
    }
    int total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += shared.counts[lane];
    for (int entry = total + ThreadIndex(); entry < kEntries; entry += BlockThreads()) {
      StoreEntry(job, entry, 0, 0, 0);  // unused: adds 0
    }
  }
  static THRONG_DEVICE void StoreEntry(const SealJob& job, int entry, uint16_t difference, int row_slot,
                                       int lane_slot) {
    if (entry >= kEntries) return;  // never: there are no more outliers
    reinterpret_cast<uint16_t*>(job.page + Part::kDifferences)[entry] = difference;
    job.page[Part::kRowSlots + entry] = static_cast<uint8_t>(row_slot);
    job.page[Part::kLaneSlots + entry] = static_cast<uint8_t>(lane_slot);
  }
};

// One block for a page's keys or values.
template <int kBits, int kDim, int kRank, int kEntries, int kRounds>
struct SealGear {
  using Args = SealArgs;
  using Keys = SealGearPart<kBits, kDim, kPageTokens, kRank, kEntries, kRounds, false>;
  using Values = SealGearPart<kBits, kPageTokens, kDim, kRank, kEntries, kRounds, true>;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = kRank > 0 ? 1 : 4;
  static constexpr size_t kSharedBytes = sizeof(typename Keys::Shared) > sizeof(typename Values::Shared)
                                             ? sizeof(typename Keys::Shared)
                                             : sizeof(typename Values::Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    const SealJob& job = args.jobs[BlockIndex().x];
    if (job.is_values != 0) {
      Values::Run(job, args.start, *static_cast<typename Values::Shared*>(SharedMemory()));
    } else {
      Keys::Run(job, args.start, *static_cast<typename Keys::Shared*>(SharedMemory()));
    }
  }
};

}  // namespace throng::device
