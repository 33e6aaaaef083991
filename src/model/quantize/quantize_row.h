// From floats to the block formats of GGUF tensors, with the scales that make the squared error small.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "model/gguf/tensor_type.h"

namespace throng::model {

// The types that weights can be quantised to, finest first.
inline constexpr std::array kQuantizedTypes = {TensorType::kQ8_0, TensorType::kQ6_K, TensorType::kQ4_K,
                                               TensorType::kQ4_0, TensorType::kIQ4_XS};

// x: count elements, finite and whole blocks of `type`, which is one of the above, F16, BF16 or F32.
// Deterministic: a row's bytes depend on its elements alone.
void QuantizeRow(TensorType type, const float* x, size_t count, uint8_t* row);

}  // namespace throng::model
