#include "jinja/template.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "jinja/ast.h"
#include "jinja/evaluator.h"
#include "jinja/parser.h"

namespace throng::jinja {
namespace {

// Values of a rendering from what the caller gives as JSON.
class Importer {
 public:
  Importer(Runtime& runtime, const RenderOptions& options, bool is_said)
      : runtime_(runtime), options_(options), is_said_(is_said) {}

  Value Import(const Json& json, std::string_view key) {
    const Runtime::Level level(runtime_);
    runtime_.Step();
    switch (json.type()) {
      case Json::value_t::null:
        return None();
      case Json::value_t::boolean:
        return json.get<bool>();
      case Json::value_t::number_integer:
        return json.get<int64_t>();
      case Json::value_t::number_unsigned:
        if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
          runtime_.Fail("the number {} is beyond 64 bits", json.get<uint64_t>());
        }
        return static_cast<int64_t>(json.get<uint64_t>());
      case Json::value_t::number_float:
        return json.get<double>();
      case Json::value_t::string:
        return String(json.get_ref<const std::string&>(), key);
      case Json::value_t::array: {
        std::vector<Value> items;
        for (const Json& item : json) items.push_back(Import(item, ""));
        return runtime_.NewList(std::move(items));
      }
      case Json::value_t::object: {
        Dict* dict = runtime_.NewDict();
        for (const auto& [name, value] : json.items()) {
          runtime_.Touch(2 * sizeof(Value));
          Value name_value = is_said_ ? Text::Said(name) : Text::Frame(name);
          const std::string id = KeyOf(runtime_, name_value);
          dict->Set(id, std::move(name_value), Import(value, name));
        }
        return dict;
      }
      default:
        return Undefined{};
    }
  }

 private:
  Value String(const std::string& text, std::string_view key) {
    runtime_.Touch(text.size());
    const bool is_frame = !is_said_ || (options_.is_frame && options_.is_frame(key, text));
    return is_frame ? Text::Frame(text) : Text::Said(text);
  }

  Runtime& runtime_;
  const RenderOptions& options_;
  bool is_said_;
};

}  // namespace

Template::Template(std::string_view source, std::string name) : name_(std::move(name)) {
  if (source.size() > kMaxSourceBytes) {
    throw MakeError(ErrorCode::kUnsupported, "{}: it has {} bytes, allowed are at most {}", name_,
                    source.size(), kMaxSourceBytes);
  }
  ast_ = std::make_shared<const Ast>(Parse(name_, source));
}

Text Template::Render(std::span<const Variable> variables, const RenderOptions& options) const {
  Runtime runtime(name_, ast_->source, options.limits, options.now);
  std::vector<std::pair<NameId, Value>> values;
  for (const Variable& variable : variables) {
    const auto found = std::ranges::find(ast_->names, variable.name);
    if (found == ast_->names.end()) continue;
    values.emplace_back(static_cast<NameId>(found - ast_->names.begin()),
                        Importer(runtime, options, variable.is_said).Import(*variable.value, ""));
  }
  return Evaluator(*ast_, runtime).Run(values);
}

bool Template::Mentions(std::string_view variable) const {
  return std::ranges::find(ast_->names, variable) != ast_->names.end();
}

}  // namespace throng::jinja
