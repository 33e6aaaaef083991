// Models whose tensors are spread over several files: each has the keys split.no (from 0), split.count and
// split.tensors.count (of all files), and the first has the other metadata.
#include <algorithm>
#include <memory>

#include "base/error.h"
#include "model/gguf/gguf.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {
namespace {

constexpr uint64_t kMaxParts = 99999;  // names have five digits

// What the name of a part ends with.
std::string PartSuffix(uint64_t number, uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

}  // namespace

bool GgufFile::Value::operator==(const Value& other) const {
  return type == other.type && is_array == other.is_array && count == other.count &&
         std::ranges::equal(raw, other.raw) && strings == other.strings;
}

void GgufFile::CheckPart(const GgufFile& part, uint64_t number) const {
  if (part.Uint("split.no") != number || part.Uint("split.count") != Uint("split.count")) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: split.no is {} and split.count {}, where {} and {} are expected by its name",
                    part.name_, part.Uint("split.no"), part.Uint("split.count"), number, Uint("split.count"));
  }
  for (const std::string_view key : part.keys_) {
    if (key == "split.no" || !Has(key) || part.Find(key) == Find(key)) continue;
    throw MakeError(ErrorCode::kCorrupt, "{}: is part of another model than {}: key {} differs", part.name_,
                    name_, Quoted(key));
  }
}

std::unique_ptr<GgufFile> GgufFile::OpenPart(const std::string& path, const std::string& named) {
  try {
    return std::unique_ptr<GgufFile>(new GgufFile(path, Alone()));
  } catch (const Error& error) {
    if (error.Code() != ErrorCode::kIo) throw;
    throw MakeError(ErrorCode::kIo, "{}: is one of several parts of a model, and another is missing: {}",
                    named, error.what());
  }
}

void GgufFile::AddTensors(const GgufFile& part) {
  for (const TensorInfo& tensor : part.tensors_) {
    if (!tensor_index_.emplace(tensor.name, tensors_.size()).second) {
      throw MakeError(ErrorCode::kCorrupt, "{}: tensor {} is in an earlier part too", part.name_,
                      Quoted(tensor.name));
    }
    tensors_.push_back(tensor);
  }
}

void GgufFile::JoinParts() {
  const uint64_t number = Uint("split.no");
  const uint64_t count = Uint("split.count");
  if (number >= count || count > kMaxParts) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: split.no is {} and split.count {}; 0 to {} and up to {} are allowed", name_, number,
                    count, std::min(count, kMaxParts) - 1, kMaxParts);
  }
  const std::string suffix = PartSuffix(number, count);
  if (!name_.ends_with(suffix)) {
    throw MakeError(
        ErrorCode::kCorrupt,
        "{}: is part {} of {} of a model, but its name does not end with '{}', so that the others "
        "cannot be found",
        name_, number + 1, count, suffix);
  }
  const std::string named = name_;
  const std::string prefix = name_.substr(0, name_.size() - suffix.size());
  std::vector<MappedFile> mapped;
  tensors_.clear();
  tensor_index_.clear();
  for (uint64_t i = 0; i < count; ++i) {
    const std::unique_ptr<GgufFile> part = OpenPart(prefix + PartSuffix(i, count), named);
    CheckPart(*part, i);
    mapped.push_back(std::move(part->mapped_.back()));
    AddTensors(*part);
    if (i > 0) continue;
    name_ = part->name_;
    values_ = std::move(part->values_);
    keys_ = std::move(part->keys_);
  }
  mapped_ = std::move(mapped);
  if (tensors_.size() != Uint("split.tensors.count")) {
    throw MakeError(ErrorCode::kCorrupt, "{}: the {} parts have {} tensors; split.tensors.count says {}",
                    name_, count, tensors_.size(), Uint("split.tensors.count"));
  }
}

}  // namespace throng::model
