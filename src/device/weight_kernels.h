// Which kernels a format of weights has.
#pragma once

#include <iterator>
#include <string_view>

#include "device/kernels/all_kernels.h"

namespace throng::device {

// A kernel that multiplies, and the part of a product that is one block's of the grid.
struct ProductKernel {
  KernelId id;
  int outputs, rows;

  Index3 Grid(int of_outputs, int of_rows) const {
    return {(of_outputs + outputs - 1) / outputs, (of_rows + rows - 1) / rows, 1};
  }
};

struct WeightKernels {
  std::string_view format;  // as model::TensorTypeName has it
  bool of_integers;         // and then activations are rounded to 8 bits first
  KernelId embed;
  ProductKernel products[3];  // from the fewest rows up: each reads the weights once for its rows

  const ProductKernel& ProductOf(int rows) const {
    const ProductKernel* product = products;
    while (std::next(product) != std::end(products) && rows > product->rows) ++product;
    return *product;
  }
};

namespace weight_kernels {

template <typename Kernel>
constexpr ProductKernel Make(KernelId id) {
  return {id, Kernel::kOutputs, Kernel::kRows};
}

using enum KernelId;
#define THRONG_INTEGERS(format)                                         \
  {                                                                     \
#format, true, kEmbed##format, {                                    \
      Make<MultiplyFew<format##Blocks, 1>>(kMultiplyFew8##format),      \
          Make<MultiplyFew<format##Blocks, 2>>(kMultiplyFew16##format), \
          Make<MultiplyMany<format##Blocks>>(kMultiplyMany##format)     \
    }                                                                   \
  }
#define THRONG_FLOATS(format, weights)                                                                    \
  {                                                                                                       \
#format, false, kEmbed##format, {                                                                     \
      Make<MultiplyFloats<weights>>(kMultiply##format), Make<MultiplyFloats<weights>>(kMultiply##format), \
          Make<MultiplyFloats<weights>>(kMultiply##format)                                                \
    }                                                                                                     \
  }
inline constexpr WeightKernels kAll[] = {
    THRONG_INTEGERS(Q8_0),           THRONG_INTEGERS(Q4_0),
    THRONG_INTEGERS(MXFP4),          THRONG_INTEGERS(Q4_K),
    THRONG_INTEGERS(Q6_K),           THRONG_FLOATS(F32, FloatWeights),
    THRONG_FLOATS(F16, HalfWeights), THRONG_FLOATS(BF16, BrainWeights),
};
#undef THRONG_INTEGERS
#undef THRONG_FLOATS

}  // namespace weight_kernels

inline constexpr const auto& kWeightKernels = weight_kernels::kAll;

}  // namespace throng::device
