// A model as a GGUF file of smaller weights.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf/gguf.h"

namespace throng {
class ThreadPool;
}

namespace throng::model {

struct QuantizeOptions {
  TensorType type = TensorType::kQ4_K;  // one of kQuantizedTypes
  bool pure = false;                    // the output and the embedding too; else these are Q6_K or finer
  bool requantize = false;              // weights that are quantised already are allowed, and lose twice
};

// What became of a tensor.
struct QuantizePlan {
  const TensorInfo* tensor;
  TensorType type;
  bool fell_back;  // its rows do not fit the blocks of the type that it should have
};

// "q4_k" in any case. Throws kInvalid with the names that are known.
TensorType ParseQuantizedType(std::string_view name);

// Vectors, norms, routers, positions and small tensors become F32, other weights the type of the options, or
// Q8_0 or F16 where rows are no whole blocks. Throws kUnsupported for weights that are quantised already.
std::vector<QuantizePlan> PlanQuantization(const GgufFile& file, const QuantizeOptions& options);

struct TypeReport {
  TensorType type;
  uint64_t tensors = 0;
  uint64_t elements = 0;
  uint64_t bytes = 0;
  double error = 0;  // root of the mean square, relative to that of the weights
};

struct QuantizeReport {
  uint64_t bytes_before = 0;  // of tensors
  uint64_t bytes_after = 0;
  std::vector<TypeReport> types;  // that occur, in the order of the plan
};

// Writes the file atomically, with the metadata of `file`. progress: called with the weights done and all
// weights. Throws kIo, kExhausted, or kUnsupported for weights that are no finite numbers or beyond F16's.
QuantizeReport QuantizeModel(const GgufFile& file, const std::vector<QuantizePlan>& plan,
                             const QuantizeOptions& options, const std::string& path, ThreadPool& threads,
                             const std::function<void(uint64_t done, uint64_t all)>& progress);

}  // namespace throng::model
