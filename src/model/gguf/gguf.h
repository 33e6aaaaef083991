// Reader of GGUF files (versions 2 and 3, little-endian): typed metadata, and tensors that stay where they
// are mapped. The meaning of tensor blocks is in block_formats.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"

namespace throng::model {

// Numbers as in the file.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

// The number of elements, all of one row, that share a block, and the block's size in bytes.
struct BlockSize {
  uint32_t elements;
  uint32_t bytes;
};

// Empty for a type that this program does not know.
constexpr std::optional<BlockSize> BlockSizeOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return BlockSize{1, 4};
    case TensorType::kF16:
    case TensorType::kBF16:
      return BlockSize{1, 2};
    case TensorType::kQ4_0:
      return BlockSize{32, 18};
    case TensorType::kQ4_1:
      return BlockSize{32, 20};
    case TensorType::kQ5_0:
      return BlockSize{32, 22};
    case TensorType::kQ5_1:
      return BlockSize{32, 24};
    case TensorType::kQ8_0:
      return BlockSize{32, 34};
    case TensorType::kQ4_K:
      return BlockSize{256, 144};
    case TensorType::kQ5_K:
      return BlockSize{256, 176};
    case TensorType::kQ6_K:
      return BlockSize{256, 210};
  }
  return std::nullopt;
}
// "Q4_K"; "type 23" for an unknown one.
std::string TensorTypeName(TensorType type);

struct TensorInfo {
  std::string_view name;
  TensorType type;
  int num_dims;
  std::array<uint64_t, 4> dims;   // dims[0] is the contiguous one (columns); unused ones are 1
  std::span<const uint8_t> data;  // empty if the type is unknown: code that needs the tensor refuses it

  std::string Shape() const;  // "[256, 2048]", in the order of dims
};

class GgufFile {
 public:
  // Throws kIo if the file cannot be read, kCorrupt with one sentence if it is not a sound GGUF file.
  explicit GgufFile(const std::string& path);
  // Reads bytes, which must outlive this object; `name` stands for the path in messages.
  GgufFile(std::span<const uint8_t> bytes, std::string name);

  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  const std::string& Name() const { return name_; }

  // Metadata. The getters throw kCorrupt if the key is missing (the ...Or forms return the fallback instead)
  // or if its value is of another kind. Integers of every width and sign are accepted where the value fits;
  // Float accepts integers too.
  bool Has(std::string_view key) const { return values_.contains(key); }
  uint64_t Uint(std::string_view key) const;
  uint64_t UintOr(std::string_view key, uint64_t fallback) const;
  int64_t Int(std::string_view key) const;
  int64_t IntOr(std::string_view key, int64_t fallback) const;
  double Float(std::string_view key) const;
  double FloatOr(std::string_view key, double fallback) const;
  bool Bool(std::string_view key) const;
  bool BoolOr(std::string_view key, bool fallback) const;
  std::string_view String(std::string_view key) const;
  std::string_view StringOr(std::string_view key, std::string_view fallback) const;
  // Arrays, converted to one type. Views of strings point into the file.
  bool IsArray(std::string_view key) const;
  const std::vector<std::string_view>& Strings(std::string_view key) const;
  std::vector<int64_t> Ints(std::string_view key) const;
  std::vector<float> Floats(std::string_view key) const;
  std::vector<bool> Bools(std::string_view key) const;

  // The bytes of a value as the file has them; empty for an array of strings.
  std::span<const uint8_t> Raw(std::string_view key) const { return Find(key).raw; }

  // In the order of the file.
  const std::vector<std::string_view>& Keys() const { return keys_; }
  const std::vector<TensorInfo>& Tensors() const { return tensors_; }
  // Null if no tensor has that name.
  const TensorInfo* FindTensor(std::string_view name) const;

 private:
  friend class GgufWriter;
  class Parser;
  struct Value {
    GgufType type;  // of the value, or of the elements of an array
    bool is_array;
    uint64_t count;                         // elements of an array
    std::span<const uint8_t> raw;           // numbers, little-endian and packed; the characters of a string
    std::vector<std::string_view> strings;  // of an array of strings
  };

  const Value& Scalar(std::string_view key) const;
  const Value& Array(std::string_view key) const;
  const Value& Find(std::string_view key) const;
  [[noreturn]] void WrongKind(std::string_view key, const Value& value, const char* expected) const;

  std::string name_;
  std::optional<MappedFile> mapped_;
  std::unordered_map<std::string_view, Value> values_;
  std::vector<std::string_view> keys_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace throng::model
