#include "model/load/metadata.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "model/gguf/gguf.h"

namespace throng::model {
namespace {

// What converters write of any architecture and no engine computes with, or that says in words what other
// keys say in numbers.
constexpr std::string_view kSilent[] = {"vocab_size", "tensor_data_layout", "rope.scaling.finetuned",
                                        "attention.causal", "pooling_type"};

}  // namespace

Metadata::Metadata(const GgufFile& file, std::string_view architecture, Refusals& refusals)
    : file_(file), prefix_(std::string(architecture) + "."), refusals_(refusals) {
  for (const std::string_view key : kSilent) Ignore(key);
}

std::string Metadata::Use(std::string_view key) const {
  std::string name = Name(key);
  read_.insert(name);
  if (file_.Has(name)) used_.insert(name);
  return name;
}

bool Metadata::Has(std::string_view key) const { return file_.Has(Name(key)); }

int Metadata::Count(std::string_view key, int64_t most, int64_t least) const {
  const std::string name = Use(key);
  if (!file_.IsArray(name)) return Bounded(name, file_.Int(name), most, least);
  const std::vector<int64_t> values = file_.Ints(name);
  if (values.empty() || std::ranges::adjacent_find(values, std::not_equal_to<>()) != values.end()) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: {} is a list of {} numbers that are not all the same; layers of one shape are "
                    "expected",
                    file_.Name(), name, values.size());
  }
  return Bounded(name, values[0], most, least);
}

int Metadata::CountOr(std::string_view key, int fallback, int64_t most, int64_t least) const {
  return Has(key) ? Count(key, most, least) : Bounded(Use(key), fallback, most, least);
}

std::vector<int> Metadata::Counts(std::string_view key, int layers, int64_t most, int64_t least) const {
  const std::string name = Use(key);
  const auto count = static_cast<size_t>(layers);
  if (!file_.IsArray(name)) return std::vector<int>(count, Bounded(name, file_.Int(name), most, least));
  std::vector<int> counts;
  for (const int64_t value : file_.Ints(name)) counts.push_back(Bounded(name, value, most, least));
  if (counts.size() != count) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: {} is a list of {} numbers; {} are expected, one for each layer", file_.Name(), name,
                    counts.size(), layers);
  }
  return counts;
}

std::vector<int> Metadata::CountsOr(std::string_view key, int fallback, int layers, int64_t most,
                                    int64_t least) const {
  if (Has(key)) return Counts(key, layers, most, least);
  return std::vector<int>(static_cast<size_t>(layers), Bounded(Use(key), fallback, most, least));
}

float Metadata::Positive(std::string_view key) const {
  const std::string name = Use(key);
  return CheckPositive(name, file_.Float(name));
}

float Metadata::PositiveOr(std::string_view key, double fallback) const {
  const std::string name = Use(key);
  return CheckPositive(name, file_.FloatOr(name, fallback));
}

float Metadata::NumberOr(std::string_view key, double fallback) const {
  const std::string name = Use(key);
  const double value = file_.FloatOr(name, fallback);
  if (!(std::abs(value) < 1e30)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; a finite number is expected", file_.Name(), name,
                    value);
  }
  return static_cast<float>(value);
}

std::vector<float> Metadata::Floats(std::string_view key, bool may_be_lowest) const {
  const std::string name = Use(key);
  std::vector<float> values = file_.Floats(name);
  for (const float value : values) {
    const bool is_lowest = value == -std::numeric_limits<float>::infinity();
    if (!std::isfinite(value) && !(may_be_lowest && is_lowest)) {
      throw MakeError(ErrorCode::kCorrupt, "{}: {} holds {}; finite numbers are expected", file_.Name(), name,
                      value);
    }
  }
  return values;
}

bool Metadata::BoolOr(std::string_view key, bool fallback) const { return file_.BoolOr(Use(key), fallback); }

std::vector<bool> Metadata::BoolsOr(std::string_view key, int layers) const {
  const std::string name = Use(key);
  if (!file_.Has(name) || !file_.IsArray(name)) return {};
  std::vector<bool> values = file_.Bools(name);
  if (values.size() != static_cast<size_t>(layers)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} is a list of {}; {} are expected, one for each layer",
                    file_.Name(), name, values.size(), layers);
  }
  return values;
}

std::string_view Metadata::TextOr(std::string_view key, std::string_view fallback) const {
  return file_.StringOr(Use(key), fallback);
}

void Metadata::Refuse(std::string_view key, std::string_view found, std::string_view allowed) const {
  refusals_.Add(MakeError(ErrorCode::kUnsupported, "{}: {}{} is '{}'; this program computes {}", file_.Name(),
                          prefix_, key, found.substr(0, 40), allowed));
}

void Metadata::RefuseOthers() const {
  std::vector<std::string_view> others;
  for (const std::string_view key : file_.Keys()) {
    if (key.starts_with(prefix_) && !read_.contains(std::string(key))) others.push_back(key);
  }
  if (others.empty()) return;
  refusals_.Add(MakeError(ErrorCode::kUnsupported, "{}: {} not among those that '{}' is computed with",
                          file_.Name(), NamesAre("key", others), prefix_.substr(0, prefix_.size() - 1)));
}

std::vector<std::string> Metadata::Read() const {
  std::vector<std::string> keys(used_.begin(), used_.end());
  std::ranges::sort(keys);
  return keys;
}

int Metadata::Bounded(const std::string& name, int64_t value, int64_t most, int64_t least) const {
  if (value < least || value > most) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; {} to {} is allowed", file_.Name(), name, value,
                    least, most);
  }
  return static_cast<int>(value);
}

float Metadata::CheckPositive(const std::string& name, double value) const {
  if (!(value > 0 && value < 1e30)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; a positive number is expected", file_.Name(), name,
                    value);
  }
  return static_cast<float>(value);
}

}  // namespace throng::model
