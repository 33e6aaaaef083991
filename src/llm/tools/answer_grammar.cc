#include "llm/tools/answer_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text/trim.h"
#include "llm/grammar/json_schema.h"
#include "llm/grammar/schema_members.h"
#include "llm/regular/literals.h"

namespace throng::llm {
namespace {

using Node = Grammar::Node;

class Composer {
 public:
  Composer(const AnswerForm& form, Grammar& grammar) : form_(form), format_(form.format), grammar_(grammar) {}

  Node Answer() {
    std::vector<Node> parts;
    if (format_.HasThoughts() && form_.thought != AnswerForm::Thought::kNever) {
      const Node rest =
          grammar_.Sequence({FreeText({format_.thought_end}), grammar_.Bytes(format_.thought_end)});
      if (form_.thought == AnswerForm::Thought::kBegun) {
        parts.push_back(rest);
      } else {
        parts.push_back(grammar_.Optional(grammar_.Sequence({grammar_.Bytes(format_.thought_begin), rest})));
      }
      if (format_.text_begin.empty()) parts.push_back(grammar_.Repeat(grammar_.Bytes("\n"), 0, 2));
    }
    parts.push_back(AfterThought());
    return grammar_.Sequence(std::move(parts));
  }

  Node Arguments(const Tool& tool) {
    if (format_.body == CallBody::kParameters) return Parameters(tool);
    if (format_.body == CallBody::kPython) return Keywords(tool);
    return LowerJsonSchema(tool.parameters, grammar_, {.quote = format_.quote});
  }

 private:
  Node AfterThought() {
    if (form_.calls == AnswerForm::Calls::kMust) return Calls();
    const Node text = Text();
    if (form_.calls == AnswerForm::Calls::kNever) return text;
    const bool is_free = form_.text.Empty() && format_.text_begin.empty() && !format_.at_start;
    if (is_free) return grammar_.Sequence({text, grammar_.Optional(Calls())});
    return grammar_.Choice({text, Calls()});
  }

  Node Text() {
    std::vector<Node> parts;
    if (!format_.text_begin.empty()) parts.push_back(grammar_.Bytes(format_.text_begin));
    if (!form_.text.Empty()) {
      parts.push_back(LowerConstraint(form_.text, grammar_));
    } else if (form_.tools.empty()) {
      parts.push_back(FreeText({format_.text_end}));
    } else if (format_.at_start) {
      parts.push_back(grammar_.Texts(TextsNotBeginning(format_.Trigger())));
    } else {
      parts.push_back(FreeText({format_.Trigger(), format_.text_end}));
    }
    if (!format_.text_end.empty()) parts.push_back(grammar_.Optional(grammar_.Bytes(format_.text_end)));
    return grammar_.Sequence(std::move(parts));
  }

  Node FreeText(const std::vector<std::string>& without) { return grammar_.Texts(TextsWithout(without)); }

  Node Calls() {
    std::vector<Node> choices;
    for (const Tool& tool : form_.tools) choices.push_back(Call(tool));
    const Node call = grammar_.Choice(std::move(choices));
    Node calls = call;
    if (form_.parallel && format_.parallel) {
      const Node next = grammar_.Sequence({grammar_.Bytes(format_.call_separator), call});
      calls = grammar_.Sequence({call, grammar_.Repeat(next, 0, Grammar::kUnbounded)});
    }
    const Node all = grammar_.Sequence({Literal(format_.calls_begin), calls, Literal(format_.calls_end)});
    if (format_.tag.empty()) return all;
    std::vector<Node> tagged = {all};
    for (const Tool& tool : form_.tools) AddTagged(tool, tagged);
    return grammar_.Choice(
        {all, grammar_.Sequence({grammar_.Bytes(format_.tag), grammar_.Choice(std::move(tagged))})});
  }

  // The forms that a call may have behind the format's tag besides its usual one, as far as the tool fits.
  void AddTagged(const Tool& tool, std::vector<Node>& forms) {
    try {
      forms.push_back(grammar_.Sequence({grammar_.Bytes(tool.name + ".call("), Keywords(tool)}));
    } catch (const Error& error) {
      if (error.Code() != ErrorCode::kUnsupported) throw;
    }
    if (!CodeParameter(tool).empty())
      forms.push_back(LowerMembers(tool.parameters, {.plain_end = format_.tag}, grammar_).at(0).value);
  }

  Node Call(const Tool& tool) {
    std::vector<Node> parts = {Literal(format_.CallHead())};
    const bool has_keys = format_.body == CallBody::kObject;
    if (has_keys) {
      parts.push_back(grammar_.Bytes(
          fmt::format("\"{}\": \"{}\", \"{}\": ", format_.name_key, tool.name, format_.arguments_key)));
    } else {
      parts.push_back(grammar_.Bytes(tool.name));
      parts.push_back(Literal(format_.name_end));
    }
    try {
      parts.push_back(Arguments(tool));
    } catch (const Error& error) {
      throw MakeError(error.Code(), "{}: {}", tool.name, error.what());
    }
    if (has_keys) parts.push_back(grammar_.Bytes("}"));
    parts.push_back(Literal(format_.call_end));
    return grammar_.Sequence(std::move(parts));
  }

  Node Parameters(const Tool& tool) {
    std::vector<Node> parts;
    for (const SchemaMember& member : LowerMembers(tool.parameters, ParametersStyle(format_), grammar_)) {
      if (member.name.find_first_of("<>\"\n") != std::string::npos) RefuseName(member.name);
      const bool has_own_end = member.is_text && !format_.text_name_end.empty();
      const std::string& name_end = has_own_end ? format_.text_name_end : format_.parameter_name_end;
      const Node one =
          grammar_.Sequence({grammar_.Bytes(format_.parameter_begin), grammar_.Bytes(member.name),
                             grammar_.Bytes(name_end), member.value, grammar_.Bytes(format_.parameter_end)});
      parts.push_back(member.is_required ? one : grammar_.Optional(one));
    }
    return grammar_.Sequence(std::move(parts));
  }

  // KEY=VALUE, KEY=VALUE)
  Node Keywords(const Tool& tool) {
    const std::vector<SchemaMember> members =
        LowerMembers(tool.parameters, {.json = {.python_words = true}}, grammar_);
    Node begin = grammar_.Bytes(""), rest = begin;  // from a member on: without one before it, and with
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      if (!IsIdentifier(member->name)) RefuseName(member->name);
      const Node one = grammar_.Sequence({grammar_.Bytes(member->name + "="), member->value});
      const Node next = grammar_.Sequence({grammar_.Bytes(", "), one});
      const Node from_here = grammar_.Sequence({one, rest});
      begin = member->is_required ? from_here : grammar_.Choice({from_here, begin});
      rest = grammar_.Sequence({member->is_required ? next : grammar_.Optional(next), rest});
    }
    return grammar_.Sequence({begin, grammar_.Bytes(")")});
  }

  static bool IsIdentifier(std::string_view name) {
    const auto is_letter = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    return !name.empty() && std::ranges::all_of(name, is_letter) && (name[0] < '0' || name[0] > '9');
  }

  [[noreturn]] static void RefuseName(const std::string& name) {
    throw MakeError(
        ErrorCode::kUnsupported,
        "JSON schema: #/properties has the name {:?}, which the model's form of calls cannot write", name);
  }

  // `#` is a number.
  Node Literal(const std::string& text) {
    const size_t number = text.find('#');
    if (number == std::string::npos) return grammar_.Bytes(text);
    const Node digits = grammar_.Repeat(grammar_.Char({{'0', '9'}}), 1, 2);
    return grammar_.Sequence(
        {grammar_.Bytes(text.substr(0, number)), digits, grammar_.Bytes(text.substr(number + 1))});
  }

  const AnswerForm& form_;
  const AnswerFormat& format_;
  Grammar& grammar_;
};

}  // namespace

std::string KeyOf(const AnswerForm& form) {
  std::string key;
  const auto add = [&](std::string_view text) { key += fmt::format("{}:{}", text.size(), text); };
  add(form.format.name);
  add(form.format.thought_begin);
  key +=
      fmt::format("{} {} {} ", static_cast<int>(form.thought), static_cast<int>(form.calls), form.parallel);
  for (const Tool& tool : form.tools) add(tool.name), add(tool.parameters);
  key += '|';
  for (const std::string& choice : form.text.choices) add(choice);
  key += '|';
  for (const std::string* text : {&form.text.json_schema, &form.text.grammar, &form.text.regex}) add(*text);
  return key;
}

Grammar CompileAnswer(const AnswerForm& form) {
  Grammar grammar;
  grammar.SetRoot(Composer(form, grammar).Answer());
  return grammar;
}

MemberStyle ParametersStyle(const AnswerFormat& format) {
  return {.plain_end = std::string(Trimmed(format.parameter_end))};
}

std::string CodeParameter(const Tool& tool) {
  constexpr std::array<std::string_view, 3> kNames = {"code_interpreter", "ipython", "python"};
  if (std::ranges::find(kNames, tool.name) == kNames.end()) return "";
  const auto schema = nlohmann::ordered_json::parse(tool.parameters, nullptr, /*allow_exceptions=*/false);
  const auto members = schema.find("properties");
  if (members == schema.end() || !members->is_object() || members->size() != 1) return "";
  const auto member = members->begin();
  return member->is_object() && member->value("type", nlohmann::ordered_json()) == "string" ? member.key()
                                                                                            : "";
}

void CheckTool(const AnswerFormat& format, const Tool& tool) {
  const AnswerForm form = {.format = format, .tools = {}, .text = {}};
  Grammar grammar;
  Composer(form, grammar).Arguments(tool);
}

}  // namespace throng::llm
