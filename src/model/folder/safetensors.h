// Reader of safetensors files (https://github.com/huggingface/safetensors#format): the length of a JSON
// header in 8 bytes, the header, and the bytes of all tensors without gaps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace throng::model {

struct StoredTensor {
  std::string name;
  std::string dtype;              // "BF16", as the file says
  std::vector<uint64_t> shape;    // the last is the contiguous one; none is 0
  std::span<const uint8_t> data;  // of the file

  std::string Shape() const;  // "[2048, 256]"
};

// The tensors of a file in the order of their bytes. `name` stands for the path in messages. Throws kCorrupt
// with one sentence for a header that is not sound, kUnsupported for elements of an unknown type.
std::vector<StoredTensor> ReadSafetensors(std::span<const uint8_t> bytes, const std::string& name);

}  // namespace throng::model
