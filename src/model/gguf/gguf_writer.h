// Writes GGUF files (version 3): for tests, and for models that we make ourselves.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf/gguf.h"

namespace throng::model {

class GgufWriter {
 public:
  void Add(std::string_view key, uint32_t value);
  void Add(std::string_view key, int32_t value);
  void Add(std::string_view key, uint64_t value);
  void Add(std::string_view key, float value);
  void Add(std::string_view key, bool value);
  void Add(std::string_view key, std::string_view value);
  void Add(std::string_view key, const char* value) { Add(key, std::string_view(value)); }
  void Add(std::string_view key, std::span<const std::string> values);
  void Add(std::string_view key, std::span<const std::string_view> values);
  void Add(std::string_view key, std::span<const float> values);
  void Add(std::string_view key, std::span<const int32_t> values);
  void Add(std::string_view key, std::span<const bool> values);
  // The value as it is in another file. Throws kCorrupt if that has no such key, kUnsupported for an array of
  // arrays.
  void Copy(std::string_view key, const GgufFile& from);

  // dims[0] is the contiguous one; data must have the size that type and dims give.
  void AddTensor(std::string_view name, TensorType type, std::span<const uint64_t> dims,
                 std::span<const uint8_t> data);

  std::vector<uint8_t> Finish() const;

  // For files that do not fit into memory: the tensor's place, and then, in the order of these calls, its
  // data after Header(), each followed by as many zeros as Padding says. Not with AddTensor.
  void DeclareTensor(std::string_view name, TensorType type, std::span<const uint64_t> dims);
  // Everything before the data of tensors.
  std::vector<uint8_t> Header() const;
  // Bytes after data of that size, before the next tensor's.
  static uint64_t Padding(uint64_t size);

 private:
  void Key(std::string_view key, GgufType type);

  std::vector<uint8_t> values_;
  uint64_t num_values_ = 0;
  std::vector<uint8_t> infos_;
  uint64_t num_tensors_ = 0;
  uint64_t data_size_ = 0;  // of all tensors, padded
  std::vector<uint8_t> data_;
};

}  // namespace throng::model
