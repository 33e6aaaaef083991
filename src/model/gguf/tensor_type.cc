#include "model/gguf/tensor_type.h"

#include <fmt/format.h>

namespace throng::model {

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
