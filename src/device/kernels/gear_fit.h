// The low-rank part of a page of gearl and gear while it is sealed (kv/gear/gear_encode.cc): L is fitted by
// power iteration in double precision. Each sum is taken in the processor's order, so L has its bytes.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

inline constexpr int kGearSweeps = 3;

// The largest of the warp.
THRONG_DEVICE double WarpMax(double x) {
  THRONG_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const double other = ShuffleXor(x, mask);
    x = other > x ? other : x;
  }
  return x;
}

// Of a block of threads, in shared memory. The matrix is [rows, lanes]; a row of memory has one more element,
// so that threads of neighbouring rows read different banks.
template <int kRows, int kLanes, int kRank>
struct GearFit {
  static constexpr int kStride = kLanes + 1;
  double residual[kRows * kStride];  // what D leaves
  double of_rows[kRank][kRows];
  double of_lanes[kRank][kLanes];
  int8_t row_codes[kRank][kRows];
  int8_t lane_codes[kRank][kLanes];
  float scales[kRank];

  // L of an element, added to `sum`.
  THRONG_DEVICE float AddTo(float sum, int row, int lane) const {
    THRONG_UNROLL
    for (int j = 0; j < kRank; ++j) {
      const float product = static_cast<float>(row_codes[j][row]) * static_cast<float>(lane_codes[j][lane]);
      sum = sum + product * scales[j];
    }
    return sum;
  }

  // Factors of no direction: the first Run starts all. L is 0.
  THRONG_DEVICE void Clear() {
    for (int j = ThreadIndex(); j < kRank; j += BlockThreads()) scales[j] = 0.0f;
    for (int e = ThreadIndex(); e < kRank * kRows; e += BlockThreads()) of_rows[e / kRows][e % kRows] = 0.0;
    for (int e = ThreadIndex(); e < kRank * kLanes; e += BlockThreads()) {
      of_lanes[e / kLanes][e % kLanes] = 0.0;
    }
  }

  // start: [kRank, d], the channels' factors of a direction that has none. from_rows: channels are the rows.
  // Waits for `residual` and the factors; the caller waits for what this writes.
  THRONG_DEVICE void Run(const double* start, bool from_rows) {
    if (Warp() < kRank) {
      const int d = from_rows ? kRows : kLanes;
      Restart(start + Warp() * d, d, from_rows ? of_rows[Warp()] : of_lanes[Warp()]);
    }
    for (int step = 0; step < 2 * kGearSweeps; ++step) {
      const bool to_lanes = from_rows == (step % 2 == 0);
      Barrier();
      if (step >= 2 * kGearSweeps - 2) {
        if (Warp() == 0) {
          to_lanes ? Orthonormalize<kRows>(of_rows) : Orthonormalize<kLanes>(of_lanes);
        }
        Barrier();
      }
      to_lanes ? MultiplyIntoLanes() : MultiplyIntoRows();
    }
    Barrier();
    if (Warp() < kRank) {
      const int j = Warp();
      const double row_scale = Encode<kRows>(of_rows[j], row_codes[j]);
      const double lane_scale = Encode<kLanes>(of_lanes[j], lane_codes[j]);
      if (Lane() == 0) scales[j] = static_cast<float>(row_scale * lane_scale);
    }
  }

 private:
  static THRONG_DEVICE void Restart(const double* start, int count, double* factor) {
    double largest = 0.0;
    for (int i = Lane(); i < count; i += kWarpThreads) {
      const double size = Abs(factor[i]);
      largest = size > largest ? size : largest;
    }
    if (WarpMax(largest) > 0.0) return;
    for (int i = Lane(); i < count; i += kWarpThreads) factor[i] = start[i];
  }

  // One thread for each sum over rows.
  THRONG_DEVICE void MultiplyIntoLanes() {
    for (int e = ThreadIndex(); e < kRank * kLanes; e += BlockThreads()) {
      const int j = e / kLanes;
      const int lane = e % kLanes;
      double sum = 0.0;
      for (int row = 0; row < kRows; ++row) {
        sum = sum + of_rows[j][row] * residual[row * kStride + lane];
      }
      of_lanes[j][lane] = sum;
    }
  }
  // One thread for each sum over lanes, which is eight sums, then a tree.
  THRONG_DEVICE void MultiplyIntoRows() {
    for (int e = ThreadIndex(); e < kRank * kRows; e += BlockThreads()) {
      const int j = e / kRows;
      const int row = e % kRows;
      double sums[8] = {};
      for (int lane = 0; lane < kLanes; lane += 8) {
        THRONG_UNROLL
        for (int i = 0; i < 8; ++i) {
          sums[i] = sums[i] + residual[row * kStride + lane + i] * of_lanes[j][lane + i];
        }
      }
      of_rows[j][row] =
          ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    }
  }

  // Gram and Schmidt, twice for accuracy, by one warp.
  template <int kCount>
  static THRONG_DEVICE void Orthonormalize(double (&m)[kRank][kCount]) {
    double before[kRank];
    for (int j = 0; j < kRank; ++j) before[j] = Sqrt(Dot(m[j], m[j], kCount));
    for (int j = 0; j < kRank; ++j) {
      for (int k = 0; k < 2 * j; ++k) {
        const double* direction = m[k % j];
        const double along = Dot(direction, m[j], kCount);
        for (int i = Lane(); i < kCount; i += kWarpThreads) m[j][i] = m[j][i] - along * direction[i];
        WarpBarrier();
      }
      const double length = Sqrt(Dot(m[j], m[j], kCount));
      const double factor = length > 1e-10 * before[j] ? 1.0 / length : 0.0;
      for (int i = Lane(); i < kCount; i += kWarpThreads) m[j][i] = m[j][i] * factor;
      WarpBarrier();
    }
  }
  // Every eight lanes have the eight sums, whose tree gives all lanes the same total.
  static THRONG_DEVICE double Dot(const double* a, const double* b, int count) {
    double sum = 0.0;
    for (int i = Lane() % 8; i < count; i += 8) sum = sum + a[i] * b[i];
    THRONG_UNROLL
    for (int mask = 4; mask > 0; mask /= 2) sum = sum + ShuffleXor(sum, mask);
    return sum;
  }

  // One row of a factor in 8 bits, by a warp. Returns its scale.
  template <int kCount>
  static THRONG_DEVICE double Encode(const double (&factor)[kCount], int8_t (&codes)[kCount]) {
    double largest = 0.0;
    for (int i = Lane(); i < kCount; i += kWarpThreads) {
      const double size = Abs(factor[i]);
      largest = size > largest ? size : largest;
    }
    largest = WarpMax(largest);
    const double inverse = largest > 1e-30 ? 127.0 / largest : 0.0;
    for (int i = Lane(); i < kCount; i += kWarpThreads) {
      codes[i] = static_cast<int8_t>(Round(factor[i] * inverse));
    }
    return inverse > 0.0 ? largest / 127.0 : 0.0;
  }
};

}  // namespace throng::device
