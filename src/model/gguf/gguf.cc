#include "model/gguf/gguf.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace throng::model {
static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr int kMaxArrayDepth = 4;

// Bytes of a fixed-size value; 0 for strings, arrays and unknown types.
size_t ScalarBytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    default:
      return 0;
  }
}

const char* TypeName(GgufType type) {
  static constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                           "int32",  "float32", "bool",   "string", "array",
                                           "uint64", "int64",   "float64"};
  const auto i = static_cast<size_t>(type);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

// Keys and names come from the file: makes them short and printable for a message.
std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 80)) out += c >= 0x20 && c < 0x7f ? c : '?';
  if (text.size() > 80) out += "...";
  return out + "'";
}

template <typename T>
T LoadAs(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Calls visit(number) with element i of packed numbers, in its own type; bool counts as uint8.
template <typename Visitor>
auto VisitNumber(GgufType type, const uint8_t* raw, uint64_t i, Visitor visit) {
  const uint8_t* p = raw + i * ScalarBytes(type);
  switch (type) {
    case GgufType::kInt8:
      return visit(LoadAs<int8_t>(p));
    case GgufType::kUint16:
      return visit(LoadAs<uint16_t>(p));
    case GgufType::kInt16:
      return visit(LoadAs<int16_t>(p));
    case GgufType::kUint32:
      return visit(LoadAs<uint32_t>(p));
    case GgufType::kInt32:
      return visit(LoadAs<int32_t>(p));
    case GgufType::kFloat32:
      return visit(LoadAs<float>(p));
    case GgufType::kUint64:
      return visit(LoadAs<uint64_t>(p));
    case GgufType::kInt64:
      return visit(LoadAs<int64_t>(p));
    case GgufType::kFloat64:
      return visit(LoadAs<double>(p));
    default:
      return visit(*p);
  }
}

bool IsFloat(GgufType type) { return type == GgufType::kFloat32 || type == GgufType::kFloat64; }
bool IsInteger(GgufType type) { return ScalarBytes(type) > 0 && !IsFloat(type) && type != GgufType::kBool; }

}  // namespace

std::string TensorTypeName(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return "F32";
    case TensorType::kF16:
      return "F16";
    case TensorType::kBF16:
      return "BF16";
    case TensorType::kQ4_0:
      return "Q4_0";
    case TensorType::kQ4_1:
      return "Q4_1";
    case TensorType::kQ5_0:
      return "Q5_0";
    case TensorType::kQ5_1:
      return "Q5_1";
    case TensorType::kQ8_0:
      return "Q8_0";
    case TensorType::kQ4_K:
      return "Q4_K";
    case TensorType::kQ5_K:
      return "Q5_K";
    case TensorType::kQ6_K:
      return "Q6_K";
  }
  return fmt::format("type {}", static_cast<uint32_t>(type));
}

std::string TensorInfo::Shape() const {
  std::string out = "[";
  for (int i = 0; i < num_dims; ++i) out += fmt::format("{}{}", i ? ", " : "", dims[i]);
  return out + "]";
}

// Reads front to back; checks every count and size against the remaining bytes before using it.
class GgufFile::Parser {
 public:
  Parser(GgufFile& file, std::span<const uint8_t> bytes) : file_(file), bytes_(bytes) {}

  void Parse() {
    if (Take(4, "the magic number") != std::string_view("GGUF")) Fail("does not begin with 'GGUF'");
    const auto version = Number<uint32_t>("the version");
    if (version != 2 && version != 3) {
      Fail(fmt::format("has GGUF version {}{}; 2 and 3 can be read", version,
                       version >> 24 && !(version & 0xffff) ? " (big-endian)" : ""));
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

GgufFile::GgufFile(const std::string& path) : name_(path), mapped_(std::in_place, path) {
  Parser(*this, mapped_->Bytes()).Parse();
}

GgufFile::GgufFile(std::span<const uint8_t> bytes, std::string name) : name_(std::move(name)) {
  Parser(*this, bytes).Parse();
}

const GgufFile::Value& GgufFile::Find(std::string_view key) const {
  const auto it = values_.find(key);
  if (it == values_.end())
    throw MakeError(ErrorCode::kCorrupt, "{}: lacks the metadata key {}", name_, Quoted(key));
  return it->second;
}

void GgufFile::WrongKind(std::string_view key, const Value& value, const char* expected) const {
  throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}{}; {} is expected", name_, Quoted(key),
                  value.is_array ? "an array of " : "", TypeName(value.type), expected);
}

const GgufFile::Value& GgufFile::Scalar(std::string_view key) const {
  const Value& value = Find(key);
  if (value.is_array) WrongKind(key, value, "a single value");
  return value;
}

const GgufFile::Value& GgufFile::Array(std::string_view key) const {
  const Value& value = Find(key);
  if (!value.is_array) WrongKind(key, value, "an array");
  return value;
}

uint64_t GgufFile::Uint(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an integer");
  return VisitNumber(value.type, value.raw.data(), 0, [&](auto number) -> uint64_t {
    if constexpr (std::is_signed_v<decltype(number)>) {
      if (number < 0)
        throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}, below zero", name_, Quoted(key), number);
    }
    return static_cast<uint64_t>(number);
  });
}

int64_t GgufFile::Int(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an integer");
  return VisitNumber(value.type, value.raw.data(), 0, [&](auto number) -> int64_t {
    if constexpr (std::is_same_v<decltype(number), uint64_t>) {
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw MakeError(ErrorCode::kCorrupt, "{}: key {} is {}, too large", name_, Quoted(key), number);
      }
    }
    return static_cast<int64_t>(number);
  });
}

double GgufFile::Float(std::string_view key) const {
  const Value& value = Scalar(key);
  if (!IsFloat(value.type) && !IsInteger(value.type)) WrongKind(key, value, "a number");
  return VisitNumber(value.type, value.raw.data(), 0,
                     [](auto number) { return static_cast<double>(number); });
}

bool GgufFile::Bool(std::string_view key) const {
  const Value& value = Scalar(key);
  if (value.type != GgufType::kBool) WrongKind(key, value, "a bool");
  return value.raw[0] != 0;
}

std::string_view GgufFile::String(std::string_view key) const {
  const Value& value = Scalar(key);
  if (value.type != GgufType::kString) WrongKind(key, value, "a string");
  return {reinterpret_cast<const char*>(value.raw.data()), value.raw.size()};
}

uint64_t GgufFile::UintOr(std::string_view key, uint64_t fallback) const {
  return Has(key) ? Uint(key) : fallback;
}
int64_t GgufFile::IntOr(std::string_view key, int64_t fallback) const {
  return Has(key) ? Int(key) : fallback;
}
double GgufFile::FloatOr(std::string_view key, double fallback) const {
  return Has(key) ? Float(key) : fallback;
}
bool GgufFile::BoolOr(std::string_view key, bool fallback) const { return Has(key) ? Bool(key) : fallback; }
std::string_view GgufFile::StringOr(std::string_view key, std::string_view fallback) const {
  return Has(key) ? String(key) : fallback;
}

bool GgufFile::IsArray(std::string_view key) const { return Has(key) && Find(key).is_array; }

const std::vector<std::string_view>& GgufFile::Strings(std::string_view key) const {
  const Value& value = Array(key);
  if (value.type != GgufType::kString) WrongKind(key, value, "an array of strings");
  return value.strings;
}

std::vector<int64_t> GgufFile::Ints(std::string_view key) const {
  const Value& value = Array(key);
  if (!IsInteger(value.type)) WrongKind(key, value, "an array of integers");
  std::vector<int64_t> out(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    out[i] = VisitNumber(value.type, value.raw.data(), i,
                         [](auto number) { return static_cast<int64_t>(number); });
  }
  return out;
}

std::vector<float> GgufFile::Floats(std::string_view key) const {
  const Value& value = Array(key);
  if (!IsFloat(value.type)) WrongKind(key, value, "an array of floats");
  std::vector<float> out(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    out[i] =
        VisitNumber(value.type, value.raw.data(), i, [](auto number) { return static_cast<float>(number); });
  }
  return out;
}

std::vector<bool> GgufFile::Bools(std::string_view key) const {
  const Value& value = Array(key);
  if (value.type != GgufType::kBool) WrongKind(key, value, "an array of bools");
  return {value.raw.begin(), value.raw.end()};
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace throng::model
