// Templates in the language of Jinja, as transformers sets it up for chat templates: what
// docs/chat-templates.md describes. This is the door to the library; the other headers are its rooms.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "jinja/runtime.h"
#include "jinja/text.h"

namespace throng::jinja {

using Json = nlohmann::ordered_json;

struct Ast;

struct Variable {
  std::string name;
  const Json* value;     // not null; outlives the rendering
  bool is_said = false;  // its strings are what users say, see RenderOptions::is_frame
};

struct RenderOptions {
  std::chrono::local_seconds now{};  // what strftime_now tells
  Limits limits;
  // For strings of a said variable, with the key of the object that holds them (empty in lists): whether this
  // one counts as the template's own all the same. Not set: none does.
  std::function<bool(std::string_view key, std::string_view text)> is_frame;
};

// Immutable: all methods may be called from any thread.
class Template {
 public:
  static constexpr size_t kMaxSourceBytes = size_t{1} << 20;

  // `name` begins the messages of errors. Throws kInvalid with line and column for a source that is no
  // template, kUnsupported for one that needs other files or is longer than kMaxSourceBytes.
  explicit Template(std::string_view source, std::string name = "chat template");

  // Throws kInvalid with line and column for what cannot be rendered, with the template's own words if it
  // says so by raise_exception; kExhausted beyond the limits.
  Text Render(std::span<const Variable> variables, const RenderOptions& options) const;

  // Whether the template names a variable anywhere.
  bool Mentions(std::string_view variable) const;

 private:
  std::string name_;
  std::shared_ptr<const Ast> ast_;
};

}  // namespace throng::jinja
