#include <bit>

#include "base/error.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {
namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr int kMaxArrayDepth = 4;

}  // namespace

// Reads front to back; checks every count and size against the remaining bytes before using it.
class GgufFile::Parser {
 public:
  Parser(GgufFile& file, std::span<const uint8_t> bytes) : file_(file), bytes_(bytes) {}

  void Parse() {
    if (Take(4, "the magic number") != std::string_view("GGUF")) Fail("does not begin with 'GGUF'");
    const auto version = Number<uint32_t>("the version");
    if (version == 2 << 24 || version == 3 << 24) {
      Fail("is a big-endian GGUF file; little-endian ones can be read");
    }
    if (version != 2 && version != 3) {
      Fail(fmt::format("has GGUF version {}; 2 and 3 can be read", version));
    }
    const auto num_tensors = Number<uint64_t>("the number of tensors");
    const auto num_values = Number<uint64_t>("the number of metadata values");
    // The shortest value has a length, a type and one byte; the shortest tensor lacks its dimensions.
    if (num_values > Left() / 13)
      Fail(fmt::format("claims {} metadata values in {} bytes", num_values, Left()));
    for (uint64_t i = 0; i < num_values; ++i) ReadKeyValue();
    if (num_tensors > Left() / 24) Fail(fmt::format("claims {} tensors in {} bytes", num_tensors, Left()));
    std::vector<uint64_t> offsets;
    for (uint64_t i = 0; i < num_tensors; ++i) offsets.push_back(ReadTensorInfo());
    PlaceTensors(offsets);
  }

 private:
  size_t Left() const { return bytes_.size() - pos_; }

  [[noreturn]] void Fail(const std::string& what) const {
    throw MakeError(ErrorCode::kCorrupt, "{}: {}", file_.name_, what);
  }

  std::string_view Take(uint64_t size, const char* what) {
    if (size > Left()) {
      Fail(
          fmt::format("ends within {}: {} bytes wanted at offset {}, {} are left", what, size, pos_, Left()));
    }
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + pos_, size);
    pos_ += size;
    return taken;
  }

  template <typename T>
  T Number(const char* what) {
    return LoadAs<T>(reinterpret_cast<const uint8_t*>(Take(sizeof(T), what).data()));
  }

  std::string_view ReadString(const char* what) { return Take(Number<uint64_t>(what), what); }

  static std::span<const uint8_t> AsBytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  void CheckBools(std::string_view key, std::span<const uint8_t> raw) const {
    for (const uint8_t byte : raw) {
      if (byte > 1) Fail(fmt::format("key {}: a bool is {}, not 0 or 1", Quoted(key), byte));
    }
  }

  void ReadKeyValue() {
    const std::string_view key = ReadString("a metadata key");
    Value value{};
    value.type = static_cast<GgufType>(Number<uint32_t>("a metadata type"));
    if (value.type == GgufType::kArray) {
      value.is_array = true;
      ReadArray(key, value, 1);
    } else if (value.type == GgufType::kString) {
      value.raw = AsBytes(ReadString("a metadata string"));
    } else {
      const size_t size = ScalarBytes(value.type);
      if (size == 0)
        Fail(fmt::format("key {} has unknown type {}", Quoted(key), static_cast<uint32_t>(value.type)));
      value.raw = AsBytes(Take(size, "a metadata value"));
      if (value.type == GgufType::kBool) CheckBools(key, value.raw);
    }
    if (!file_.values_.emplace(key, std::move(value)).second)
      Fail(fmt::format("key {} occurs twice", Quoted(key)));
    file_.keys_.push_back(key);
  }

  // Checks and skips arrays of arrays: no known key has one.
  void ReadArray(std::string_view key, Value& value, int depth) {
    value.type = static_cast<GgufType>(Number<uint32_t>("an array's type"));
    value.count = Number<uint64_t>("an array's length");
    if (value.type == GgufType::kArray) {
      if (depth >= kMaxArrayDepth)
        Fail(fmt::format("key {}: arrays are nested deeper than {}", Quoted(key), depth));
      for (uint64_t i = 0; i < value.count; ++i) {
        Value inner{};
        ReadArray(key, inner, depth + 1);
      }
      return;
    }
    const bool is_string = value.type == GgufType::kString;
    const size_t size = is_string ? sizeof(uint64_t) : ScalarBytes(value.type);
    if (size == 0) {
      Fail(fmt::format("key {} is an array of unknown type {}", Quoted(key),
                       static_cast<uint32_t>(value.type)));
    }
    if (value.count > Left() / size) {
      Fail(fmt::format("key {} claims {} elements in {} bytes", Quoted(key), value.count, Left()));
    }
    if (is_string) {
      value.strings.reserve(value.count);
      for (uint64_t i = 0; i < value.count; ++i) value.strings.push_back(ReadString("an array of strings"));
      return;
    }
    value.raw = AsBytes(Take(value.count * size, "an array"));
    if (value.type == GgufType::kBool) CheckBools(key, value.raw);
  }

  // Returns the offset of the data; it can be checked only when the start of the data section is known.
  uint64_t ReadTensorInfo() {
    TensorInfo tensor{};
    tensor.name = ReadString("a tensor's name");
    const auto num_dims = Number<uint32_t>("a tensor's dimensions");
    if (num_dims > 4)
      Fail(fmt::format("tensor {} has {} dimensions; at most 4 are allowed", Quoted(tensor.name), num_dims));
    tensor.num_dims = static_cast<int>(num_dims);
    tensor.dims.fill(1);
    uint64_t elements = 1;
    for (uint32_t i = 0; i < num_dims; ++i) {
      const auto dim = Number<uint64_t>("a tensor's dimensions");
      // No file has 2^48 elements, and the size of that many in bytes does not overflow.
      if (dim == 0 || dim > (uint64_t{1} << 48) / elements) {
        Fail(fmt::format("tensor {} has dimension {}, which is zero or too large", Quoted(tensor.name), dim));
      }
      tensor.dims[i] = dim;
      elements *= dim;
    }
    tensor.type = static_cast<TensorType>(Number<uint32_t>("a tensor's type"));
    const auto offset = Number<uint64_t>("a tensor's offset");
    if (!file_.tensor_index_.emplace(tensor.name, file_.tensors_.size()).second) {
      Fail(fmt::format("tensor {} occurs twice", Quoted(tensor.name)));
    }
    file_.tensors_.push_back(tensor);
    return offset;
  }

  uint64_t Alignment() const {
    if (!file_.Has("general.alignment")) return kDefaultAlignment;
    const uint64_t alignment = file_.Uint("general.alignment");
    if (!std::has_single_bit(alignment) || alignment < 4 || alignment > kMaxAlignment) {
      Fail(fmt::format("has alignment {}; a power of two from 4 to {} is allowed", alignment, kMaxAlignment));
    }
    return alignment;
  }

  void PlaceTensors(const std::vector<uint64_t>& offsets) {
    const uint64_t alignment = Alignment();
    const uint64_t start = (pos_ + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < offsets.size(); ++i) {
      TensorInfo& tensor = file_.tensors_[i];
      const auto block = BlockSizeOf(tensor.type);
      if (!block) continue;
      if (tensor.dims[0] % block->elements != 0) {
        Fail(fmt::format("tensor {} has rows of {} elements; {} needs multiples of {}", Quoted(tensor.name),
                         tensor.dims[0], TensorTypeName(tensor.type), block->elements));
      }
      uint64_t bytes = tensor.dims[0] / block->elements * block->bytes;
      for (int k = 1; k < 4; ++k) bytes *= tensor.dims[k];
      if (offsets[i] % alignment != 0) {
        Fail(fmt::format("tensor {} has offset {}, which is not a multiple of {}", Quoted(tensor.name),
                         offsets[i], alignment));
      }
      if (start > bytes_.size() || offsets[i] > bytes_.size() - start ||
          bytes > bytes_.size() - start - offsets[i]) {
        Fail(fmt::format("tensor {} has {} bytes at offset {}, beyond the end of the file ({} bytes of data)",
                         Quoted(tensor.name), bytes, offsets[i],
                         bytes_.size() - std::min<uint64_t>(start, bytes_.size())));
      }
      tensor.data = bytes_.subspan(start + offsets[i], bytes);
    }
  }

  GgufFile& file_;
  const std::span<const uint8_t> bytes_;
  size_t pos_ = 0;
};

void GgufFile::Parse(std::span<const uint8_t> bytes) { Parser(*this, bytes).Parse(); }

}  // namespace throng::model
