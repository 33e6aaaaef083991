// Reader of GGUF files (versions 2 and 3, little-endian): typed metadata, and tensors that stay where they
// are mapped. The meaning of tensor blocks is in block_formats.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "model/gguf/tensor_type.h"

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

struct TensorInfo {
  std::string_view name;
  TensorType type;
  int num_dims;
  std::array<uint64_t, 4> dims;   // dims[0] is the contiguous one (columns); unused ones are 1
  uint64_t bytes;                 // of the data; 0 if the type is unknown
  std::span<const uint8_t> data;  // empty if the type is unknown: code that needs the tensor refuses it; or
                                  // if the file was opened for its header

  std::string Shape() const;  // "[256, 2048]", in the order of dims
};

// What a file is opened for. Files that are opened for their header may end after it: their data are neither
// needed nor touched.
enum class GgufUse { kAll, kHeader };
// A model in another form, in the terms of a GGUF file (model/folder/folder.h makes them).
struct GgufContent {
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> dims;     // at most 4; dims[0] is the contiguous one
    std::span<const uint8_t> data;  // in one of `files`; unused if there is something in `made`
    std::vector<uint8_t> made{};    // bytes that no file has in the form that is needed
  };

  std::string name;               // stands for the path in messages
  std::vector<uint8_t> metadata;  // a GGUF file without tensors
  std::vector<Tensor> tensors;
  std::vector<MappedFile> files;
};

class GgufFile {
 public:
  // Throws kIo if the file cannot be read, kCorrupt with one sentence if it is not a sound GGUF file. A file
  // that is one of several parts (keys split.*; NAME-00002-of-00003.gguf) brings the others: metadata and
  // name are those of the first, tensors follow in the order of the parts.
  explicit GgufFile(const std::string& path, GgufUse use = GgufUse::kAll);
  // Reads bytes of a file in one part, which must outlive this object; `name` stands for the path in
  // messages.
  GgufFile(std::span<const uint8_t> bytes, std::string name, GgufUse use = GgufUse::kAll);
  // Throws kCorrupt if two tensors have the same name.
  explicit GgufFile(GgufContent content);

  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  const std::string& Name() const { return name_; }
  // Of weights.
  size_t NumFiles() const { return content_ ? content_->files.size() : std::max<size_t>(1, mapped_.size()); }
  // Bytes of data that lie beyond the end of a file that was opened for its header.
  uint64_t MissingBytes() const { return missing_bytes_; }

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
  struct Alone {};
  struct Value {
    bool operator==(const Value& other) const;

    GgufType type;  // of the value, or of the elements of an array
    bool is_array;
    uint64_t count;                         // elements of an array
    std::span<const uint8_t> raw;           // numbers, little-endian and packed; the characters of a string
    std::vector<std::string_view> strings;  // of an array of strings
  };

  // One part, or a file that is whole.
  GgufFile(const std::string& path, GgufUse use, Alone);
  void Parse(std::span<const uint8_t> bytes, GgufUse use);
  // Replaces this part by all of them.
  void JoinParts(GgufUse use);
  static std::unique_ptr<GgufFile> OpenPart(const std::string& path, GgufUse use, const std::string& named);
  void AddTensors(const GgufFile& part);
  void AddTensor(const GgufContent::Tensor& tensor);
  // Throws unless `part` has this number and belongs to the same model.
  void CheckPart(const GgufFile& part, uint64_t number) const;

  const Value& Scalar(std::string_view key) const;
  const Value& Array(std::string_view key) const;
  const Value& Find(std::string_view key) const;
  [[noreturn]] void WrongKind(std::string_view key, const Value& value, const char* expected) const;

  std::string name_;
  uint64_t missing_bytes_ = 0;
  std::vector<MappedFile> mapped_;
  std::unique_ptr<const GgufContent> content_;  // of a model in another form
  std::unordered_map<std::string_view, Value> values_;
  std::vector<std::string_view> keys_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace throng::model
