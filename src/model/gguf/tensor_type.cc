#include "model/gguf/tensor_type.h"

#include <fmt/format.h>

#include "base/check.h"

namespace throng::model {

uint64_t TensorBytes(TensorType type, std::span<const uint64_t> dims) {
  const auto block = BlockSizeOf(type);
  THRONG_CHECK(block && !dims.empty() && dims[0] % block->elements == 0);
  uint64_t bytes = dims[0] / block->elements * block->bytes;
  for (const uint64_t dim : dims.subspan(1)) bytes *= dim;
  return bytes;
}

std::string TensorTypeName(TensorType type) {
  for (const TensorTypeRow& row : kTensorTypes) {
    if (row.type == type) return row.name;
  }
  return fmt::format("type {}", static_cast<uint32_t>(type));
}

std::string TensorTypeNames() {
  std::string names;
  for (const TensorTypeRow& row : kTensorTypes) {
    if (!names.empty()) names += &row == &kTensorTypes.back() ? " and " : ", ";
    names += row.name;
  }
  return names;
}

}  // namespace throng::model
