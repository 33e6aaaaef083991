// What a model does to rows between its products: norms, and operations on elements. Each result depends on
// its row alone, in one order of operations. Sums of a norm are in an order of their own, and exponentials
// are those of the device; everything else has the bits of model/row_ops.cc where that has fused additions.
#pragma once

#include "device/intrinsics.h"

namespace throng::device {

struct NormArgs {
  const float* x;       // [rows, width]
  const float* weight;  // [width]; null: 1
  const float* bias;    // [width]; null: 0
  float* out;           // may be x
  int64_t width;
  float epsilon;
  int centred;  // 1: the mean is subtracted first, as LayerNorm does; 0: RmsNorm
};

// Grid: [rows].
struct NormRows {
  using Args = NormArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 4;
  static constexpr int kWarps = kThreads / kWarpThreads;
  struct Shared {
    float sums[kWarps];
    float squares[kWarps];
  };
  static constexpr size_t kSharedBytes = sizeof(Shared);

  static THRONG_DEVICE void Run(const Args& args) {
    Shared& shared = *static_cast<Shared*>(SharedMemory());
    const float* x = args.x + int64_t{BlockIndex().x} * args.width;
    float* out = args.out + int64_t{BlockIndex().x} * args.width;
    float mean = 0.0f;
    if (args.centred != 0) {
      float sum = 0.0f;
      for (int i = ThreadIndex(); i < args.width; i += kThreads) sum += x[i];
      mean = OfBlock(sum, shared.sums) / static_cast<float>(args.width);
    }
    float squares = 0.0f;
    for (int i = ThreadIndex(); i < args.width; i += kThreads)
      squares = Fma(x[i] - mean, x[i] - mean, squares);
    const float variance = OfBlock(squares, shared.squares) / static_cast<float>(args.width);
    const float inverse = 1.0f / Sqrt(variance + args.epsilon);
    for (int i = ThreadIndex(); i < args.width; i += kThreads) {
      float y = (x[i] - mean) * inverse;
      if (args.weight != nullptr) y *= args.weight[i];
      if (args.bias != nullptr) y += args.bias[i];
      out[i] = y;
    }
  }

 private:
  // The sum over all threads; of_warps is used once.
  static THRONG_DEVICE float OfBlock(float x, float (&of_warps)[kWarps]) {
    THRONG_UNROLL
    for (int mask = 1; mask < kWarpThreads; mask *= 2) x += ShuffleXor(x, mask);
    if (Lane() == 0) of_warps[Warp()] = x;
    Barrier();
    float sum = 0.0f;
    THRONG_UNROLL
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warps[warp];
    return sum;
  }
};

// Of elements x and y.
enum class RowOp : int32_t {
  kAdd,
  kAddScaled,  // x + factor y
  kMultiply,
  kScale,            // factor x
  kSoftCap,          // factor tanh(x / factor)
  kTimesSigmoid,     // x sigmoid(y)
  kGateSilu,         // silu(x) y; these four as Activation of model/row_ops.h
  kGateGeluTanh,     // gelu(x) y
  kGateReluSquared,  // max(x, 0)^2 y
  kGateClampedSwiglu,
  kSilu,
  kGeluTanh,
  kReluSquared,
};

struct MapArgs {
  RowOp op;
  float factor;
  float* x;        // [count], replaced by the results
  const float* y;  // [period]: element i goes with y[i % period]; not read by operations of x alone
  int64_t count, period;
};

// Rows one after the other that are apart: out[i] = x[rows[i]].
struct GatherArgs {
  const float* x;       // [any, width]
  const int32_t* rows;  // [gathered]
  float* out;           // [gathered, width]
  int64_t width;
};

// Grid: [width / kThreads rounded up, gathered].
struct GatherRows {
  using Args = GatherArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const int i = at.x * kThreads + ThreadIndex();
    if (i >= args.width) return;
    args.out[int64_t{at.y} * args.width + i] = args.x[int64_t{args.rows[at.y]} * args.width + i];
  }
};

// out[r] = the sum of weights[r, k] x[places[r, k]], for k in order; each product and sum is rounded.
struct CombineArgs {
  const float* x;         // [any, width]
  const int32_t* places;  // [rows, terms]
  const float* weights;   // the same
  float* out;             // [rows, width]
  int width;
  int terms;
};

// Grid: [width / kThreads rounded up, rows].
struct CombineRows {
  using Args = CombineArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const Index3 at = BlockIndex();
    const int i = at.x * kThreads + ThreadIndex();
    if (i >= args.width) return;
    float sum = 0.0f;
    for (int k = 0; k < args.terms; ++k) {
      const int64_t term = int64_t{at.y} * args.terms + k;
      sum += args.x[int64_t{args.places[term]} * args.width + i] * args.weights[term];
    }
    args.out[int64_t{at.y} * args.width + i] = sum;
  }
};

// Grid: [count / kThreads, rounded up].
struct MapRows {
  using Args = MapArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 8;
  static constexpr size_t kSharedBytes = 0;

  static THRONG_DEVICE void Run(const Args& args) {
    const int64_t i = int64_t{BlockIndex().x} * kThreads + ThreadIndex();
    if (i >= args.count) return;
    const bool alone = args.op == RowOp::kScale || args.op == RowOp::kSoftCap || args.op >= RowOp::kSilu;
    args.x[i] = Of(args, args.x[i], alone ? 0.0f : args.y[i % args.period]);
  }

 private:
  static THRONG_DEVICE float Of(const Args& args, float x, float y) {
    switch (args.op) {
      case RowOp::kAdd:
        return x + y;
      case RowOp::kAddScaled:
        return Fma(y, args.factor, x);
      case RowOp::kMultiply:
        return x * y;
      case RowOp::kScale:
        return x * args.factor;
      case RowOp::kSoftCap:
        return args.factor * Tanh(x / args.factor);
      case RowOp::kTimesSigmoid:
        return x / Divisor(y);
      case RowOp::kGateSilu:
        return x / Divisor(x) * y;
      case RowOp::kGateGeluTanh:
        return Gelu(x) * y;
      case RowOp::kGateReluSquared:
        return Max(x, 0.0f) * Max(x, 0.0f) * y;
      case RowOp::kGateClampedSwiglu: {
        const float gate = Min(x, 7.0f);
        return gate / Divisor(1.702f * gate) * (Max(Min(y, 7.0f), -7.0f) + 1.0f);
      }
      case RowOp::kSilu:
        return x / Divisor(x);
      case RowOp::kGeluTanh:
        return Gelu(x);
      case RowOp::kReluSquared:
        return Max(x, 0.0f) * Max(x, 0.0f);
    }
    return x;
  }

  // e^x for |x| <= 80, to some units in the last place: what is lost of x log2(e) is added to first order.
  static THRONG_DEVICE float Exp(float x) {
    constexpr float kLog2E = 1.44269504f;
    constexpr float kLog2ERest = 1.9259630e-8f;
    const float whole = x * kLog2E;
    const float rest = Fma(x, kLog2ERest, Fma(x, kLog2E, -whole));
    const float power = Exp2(whole);
    return Fma(power, rest * 0.693147181f, power);
  }
  // 1 / sigmoid(x)
  static THRONG_DEVICE float Divisor(float x) { return 1.0f + Exp(-Max(Min(x, 80.0f), -80.0f)); }
  // To 2e-7. Bounded where tanh is 1 in floats.
  static THRONG_DEVICE float Tanh(float x) {
    return 1.0f - 2.0f / (Exp(2.0f * Max(Min(x, 20.0f), -20.0f)) + 1.0f);
  }
  // 0.5 x (1 + tanh(u)) = x sigmoid(2 u), which loses nothing where tanh is near -1.
  static THRONG_DEVICE float Gelu(float x) {
    const float cubic = Fma(0.044715f * (x * x), x, x);
    return x / Divisor(1.59576912f * cubic);
  }
};

}  // namespace throng::device
