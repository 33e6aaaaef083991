#include "model/folder/json_file.h"

#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {

using nlohmann::json;

namespace {

// Makes values of what the parser finds. Its own handler would look each key up twice, and keep the first of
// two values silently or need a list of keys beside.
class JsonBuilder {
 public:
  JsonBuilder(const std::string& name, int max_depth) : name_(name), max_depth_(max_depth) {}

  json Take() { return std::move(root_); }

  // The parser's events; each returns whether to go on.
  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(int64_t value) { return Add(value); }
  bool number_unsigned(uint64_t value) { return Add(value); }
  bool number_float(double value, const std::string&) { return Add(value); }
  bool string(std::string& value) { return Add(std::move(value)); }
  bool binary(json::binary_t&) { return false; }  // not in text
  bool start_object(size_t) { return Open(json::value_t::object); }
  bool end_object() { return Close(); }
  bool start_array(size_t) { return Open(json::value_t::array); }
  bool end_array() { return Close(); }
  bool key(std::string& name) {
    const auto [at, is_new] = open_.back()->get_ref<json::object_t&>().try_emplace(std::move(name));
    if (!is_new) {  // one of two values would be hidden
      throw MakeError(ErrorCode::kCorrupt, "{}: the key {} occurs twice in an object", name_,
                      ShortJson(at->first));
    }
    value_ = &at->second;
    return true;
  }
  [[noreturn]] bool parse_error(size_t, const std::string&, const json::exception& error) {
    throw MakeError(ErrorCode::kCorrupt, "{}: is not JSON: {}", name_,
                    std::string_view(error.what()).substr(0, 200));
  }

 private:
  template <typename T>
  json* Place(T&& value) {
    if (open_.empty()) {
      root_ = std::forward<T>(value);
      return &root_;
    }
    if (open_.back()->is_array())
      return &open_.back()->get_ref<json::array_t&>().emplace_back(std::forward<T>(value));
    *value_ = std::forward<T>(value);
    return value_;
  }

  template <typename T>
  bool Add(T&& value) {
    Place(std::forward<T>(value));
    return true;
  }

  bool Open(json::value_t kind) {
    if (open_.size() >= static_cast<size_t>(max_depth_)) {
      throw MakeError(ErrorCode::kCorrupt, "{}: is nested deeper than {} objects and lists", name_,
                      max_depth_);
    }
    open_.push_back(Place(kind));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const std::string& name_;
  const int max_depth_;
  json root_;
  std::vector<json*> open_;  // objects and lists, each in the one before
  json* value_ = nullptr;    // of the last key
};

}  // namespace

json ParseJson(std::string_view text, const std::string& name, int max_depth) {
  JsonBuilder builder(name, max_depth);
  json::sax_parse(text, &builder);
  json values = builder.Take();
  if (!values.is_object()) throw MakeError(ErrorCode::kCorrupt, "{}: is no JSON object", name);
  return values;
}

std::string ShortJson(const json& value) {
  return Quoted(value.is_string() ? value.get_ref<const std::string&>()
                                  : value.dump(-1, ' ', true, json::error_handler_t::replace));
}

const json* JsonObject::Find(const char* key) const {
  const auto it = values_->find(key);
  return it == values_->end() || it->is_null() ? nullptr : &*it;
}

const json& JsonObject::Get(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) throw MakeError(ErrorCode::kCorrupt, "{}: lacks the key {}", name_, key);
  return *value;
}

void JsonObject::WrongKind(const char* key, const std::string& expected) const {
  throw MakeError(ErrorCode::kCorrupt, "{}: {} is {}; {} is expected", name_, key, ShortJson(Get(key)),
                  expected);
}

uint32_t JsonObject::Count(const char* key, uint32_t most) const {
  const json& value = Get(key);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
    WrongKind(key, fmt::format("a whole number from 0 to {}", most));
  }
  return value.get<uint32_t>();
}

uint32_t JsonObject::CountOr(const char* key, uint32_t fallback, uint32_t most) const {
  return Has(key) ? Count(key, most) : fallback;
}

double JsonObject::Number(const char* key) const {
  const json& value = Get(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) WrongKind(key, "a number");
  return value.get<double>();
}

double JsonObject::NumberOr(const char* key, double fallback) const {
  return Has(key) ? Number(key) : fallback;
}

bool JsonObject::BoolOr(const char* key, bool fallback) const {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) WrongKind(key, "true or false");
  return value->get<bool>();
}

std::string JsonObject::Text(const char* key) const {
  const json& value = Get(key);
  if (!value.is_string()) WrongKind(key, "a string");
  return value.get<std::string>();
}

std::string JsonObject::TextOr(const char* key, const std::string& fallback) const {
  return Has(key) ? Text(key) : fallback;
}

std::optional<JsonObject> JsonObject::Object(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) WrongKind(key, "an object");
  return JsonObject(fmt::format("{}: {}", name_, key), *value);
}

void JsonObject::Refuse(const char* key, std::string_view allowed) const {
  throw MakeError(ErrorCode::kUnsupported, "{}: {} is {}; this program computes {}", name_, key,
                  ShortJson(Get(key)), allowed);
}

}  // namespace throng::model
