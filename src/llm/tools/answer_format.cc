#include "llm/tools/answer_format.h"

#include <algorithm>
#include <initializer_list>

#include "base/check.h"

namespace throng::llm {
namespace {

constexpr const char* kOwnName = "our own";

// Templates have all of `signs`.
struct Family {
  AnswerFormat format;
  std::vector<std::string> signs;
};

// The names that formats, and templates, have of tokens.
std::vector<FormatToken> Named(std::initializer_list<const char*> names) {
  std::vector<FormatToken> tokens;
  for (const char* name : names) tokens.push_back({name});
  return tokens;
}

Family Harmony() {
  return {{.name = "gpt-oss",
           .text_begin = "<|channel|>final<|message|>",
           .call_begin = "<|channel|>commentary to=functions.",
           .body = CallBody::kNamed,
           .name_end = " <|constrain|>json<|message|>",
           .parallel = false,
           .tokens = Named({"<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>"})},
          {"<|channel|>", "<|message|>"}};
}

Family DeepSeek(bool typed) {
  AnswerFormat format = {.name = typed ? "DeepSeek R1, V3" : "DeepSeek V3.1",
                         .calls_begin = "<｜tool▁calls▁begin｜>",
                         .calls_end = "<｜tool▁calls▁end｜>",
                         .call_begin = "<｜tool▁call▁begin｜>",
                         .call_end = "<｜tool▁call▁end｜>",
                         .body = CallBody::kNamed,
                         .name_end = "<｜tool▁sep｜>",
                         .tokens = Named({"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
                                          "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"})};
  if (!typed) return {format, {"<｜tool▁calls▁begin｜>"}};
  format.call_begin += "function<｜tool▁sep｜>";
  format.name_end = "\n```json\n";
  format.call_end = "\n```" + format.call_end;
  format.call_separator = "\n";
  return {format, {"<｜tool▁calls▁begin｜>", "```json"}};
}

Family Mistral(bool with_arguments_token) {
  if (with_arguments_token) {
    return {{.name = "Mistral, with [ARGS]",
             .call_begin = "[TOOL_CALLS]",
             .body = CallBody::kNamed,
             .name_end = "[ARGS]",
             .short_ids = true,
             .tokens = Named({"[TOOL_CALLS]", "[ARGS]"})},
            {"[TOOL_CALLS]", "[ARGS]"}};
  }
  return {{.name = "Mistral",
           .calls_begin = "[TOOL_CALLS] [",
           .calls_end = "]",
           .call_separator = ", ",
           .short_ids = true,
           .tokens = Named({"[TOOL_CALLS]"})},
          {"[TOOL_CALLS]"}};
}

Family Command() {
  return {{.name = "Command A, R7B",
           .text_begin = "<|START_RESPONSE|>",
           .text_end = "<|END_RESPONSE|>",
           .calls_begin = "<|START_ACTION|>[",
           .calls_end = "]<|END_ACTION|>",
           .call_begin = "{\"tool_call_id\": \"#\", ",
           .call_separator = ", ",
           .name_key = "tool_name",
           .arguments_key = "parameters",
           .tokens = Named({"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_ACTION|>", "<|END_ACTION|>"})},
          {"<|START_ACTION|>"}};
}

Family Kimi() {
  return {{.name = "Kimi K2",
           .calls_begin = "<|tool_calls_section_begin|>",
           .calls_end = "<|tool_calls_section_end|>",
           .call_begin = "<|tool_call_begin|>functions.",
           .call_end = "<|tool_call_end|>",
           .body = CallBody::kNamed,
           .name_end = ":#<|tool_call_argument_begin|>",
           .tokens = Named({"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>",
                            "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"})},
          {"<|tool_calls_section_begin|>"}};
}

// Lists of objects between two tokens.
Family List(const char* name, std::string begin, std::string end) {
  return {{.name = name,
           .calls_begin = begin + "[",
           .calls_end = "]" + end,
           .call_separator = ", ",
           .tokens = end.empty() ? Named({begin.c_str()}) : Named({begin.c_str(), end.c_str()})},
          {begin, end}};
}

Family Xml(const char* name, std::string begin, std::string end) {
  return {{.name = name,
           .call_begin = begin + "\n<function=",
           .call_end = "</function>\n" + end,
           .call_separator = "\n",
           .body = CallBody::kParameters,
           .name_end = ">\n",
           .parameter_begin = "<parameter=",
           .parameter_name_end = ">\n",
           .parameter_end = "\n</parameter>\n",
           .tokens = Named({begin.c_str(), end.c_str()})},
          {begin, "<function=", "<parameter="}};
}

Family MiniMax() {
  return {{.name = "MiniMax M2",
           .calls_begin = "<minimax:tool_call>\n",
           .calls_end = "</minimax:tool_call>",
           .call_begin = "<invoke name=\"",
           .call_end = "</invoke>\n",
           .body = CallBody::kParameters,
           .name_end = "\">\n",
           .parameter_begin = "<parameter name=\"",
           .parameter_name_end = "\">",
           .parameter_end = "</parameter>\n",
           .tokens = Named({"<minimax:tool_call>", "</minimax:tool_call>"})},
          {"<minimax:tool_call>"}};
}

// DeepSeek, since V3.2.
Family Dsml(const char* name, const std::string& block) {
  return {{.name = name,
           .calls_begin = "<｜DSML｜" + block + ">\n",
           .calls_end = "</｜DSML｜" + block + ">",
           .call_begin = "<｜DSML｜invoke name=\"",
           .call_end = "</｜DSML｜invoke>\n",
           .body = CallBody::kParameters,
           .name_end = "\">\n",
           .parameter_begin = "<｜DSML｜parameter name=\"",
           .parameter_name_end = "\" string=\"false\">",
           .text_name_end = "\" string=\"true\">",
           .parameter_end = "</｜DSML｜parameter>\n",
           .tokens = Named({"｜DSML｜"})},
          {"｜DSML｜", block + ">"}};
}

// Lists of calls of Python. Without marks around them, they are told by standing at the start.
Family Python(const char* name, const std::string& begin, const std::string& end) {
  return {{.name = name,
           .calls_begin = begin + "[",
           .calls_end = "]" + end,
           .call_separator = ", ",
           .body = CallBody::kPython,
           .name_end = "(",
           .at_start = begin.empty(),
           .tokens = begin.empty() ? Named({}) : Named({begin.c_str(), end.c_str()})},
          {begin.empty() ? "[func_name1(" : begin}};
}

Family ToolCode() {
  return {{.name = "Gemma 3, tool_code",
           .calls_begin = "```tool_code\n",
           .calls_end = "\n```",
           .call_separator = "\n",
           .body = CallBody::kPython,
           .name_end = "("},
          {"```tool_code"}};
}

Family Glm() {
  return {{.name = "GLM 4.5",
           .call_begin = "<tool_call>",
           .call_end = "</tool_call>",
           .call_separator = "\n",
           .body = CallBody::kParameters,
           .name_end = "\n",
           .parameter_begin = "<arg_key>",
           .parameter_name_end = "</arg_key>\n<arg_value>",
           .parameter_end = "</arg_value>\n",
           .tokens = Named(
               {"<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"})},
          {"<arg_key>"}};
}

Family Gemma(const char* name, std::string begin, std::string end, std::string quote) {
  return {{.name = name,
           .call_begin = begin + "call:",
           .call_end = end,
           .body = CallBody::kBraces,
           .quote = quote,
           .tokens = Named({begin.c_str(), end.c_str(), quote.c_str()})},
          {begin, quote}};
}

Family Hermes() {
  return {{.name = "Hermes, Qwen",
           .call_begin = "<tool_call>\n",
           .call_end = "\n</tool_call>",
           .call_separator = "\n",
           .tokens = Named({"<tool_call>", "</tool_call>"})},
          {"<tool_call>"}};
}

Family Functionary() {
  return {{.name = "Functionary v3.1",
           .call_begin = "<function=",
           .call_end = "</function>",
           .body = CallBody::kNamed,
           .name_end = ">"},
          {"<function="}};
}

Family Llama4() {
  return {{.name = "Llama 4", .arguments_key = "parameters", .at_start = true, .parallel = false},
          {"<|header_start|>", "parameters"}};
}

Family Llama() {
  return {{.name = "Llama 3",
           .arguments_key = "parameters",
           .tag = "<|python_tag|>",
           .at_start = true,
           .parallel = false,
           .tokens = Named({"<|python_tag|>"})},
          {"<|start_header_id|>", "parameters"}};
}

const std::vector<Family>& Families() {
  static const std::vector<Family> families = {
      Harmony(),
      DeepSeek(true),
      DeepSeek(false),
      Dsml("DeepSeek V3.2", "function_calls"),
      Dsml("DeepSeek V4", "tool_calls"),
      Mistral(true),
      Mistral(false),
      Command(),
      Kimi(),
      MiniMax(),
      Xml("Seed-OSS", "<seed:tool_call>", "</seed:tool_call>"),
      Xml("Qwen3-Coder", "<tool_call>", "</tool_call>"),
      Glm(),
      Gemma("Gemma 4", "<|tool_call>", "<tool_call|>", "<|\"|>"),
      Gemma("FunctionGemma", "<start_function_call>", "<end_function_call>", "<escape>"),
      ToolCode(),
      Python("LFM 2.5", "<|tool_call_start|>", "<|tool_call_end|>"),
      Python("Llama 4, calls of Python", "", ""),
      List("Phi 4 mini", "<|tool_call|>", "<|/tool_call|>"),
      List("Granite 3", "<|tool_call|>", ""),
      List("Nemotron", "<TOOLCALL>", "</TOOLCALL>"),
      Hermes(),
      Functionary(),
      Llama4(),
      Llama(),
  };
  return families;
}

struct Thoughts {
  const char* sign;
  const char* begin;
  const char* end;
  std::initializer_list<const char*> tokens;  // that those of calls lack
};

const Thoughts kThoughts[] = {
    {"<|channel|>analysis", "<|channel|>analysis<|message|>", "<|end|><|start|>assistant", {}},
    {"[/THINK]", "[THINK]", "[/THINK]", {"[THINK]", "[/THINK]"}},
    {"<|END_THINKING|>",
     "<|START_THINKING|>",
     "<|END_THINKING|>",
     {"<|START_THINKING|>", "<|END_THINKING|>"}},
    {"<|channel>", "<|channel>thought\n", "<channel|>", {"<|channel>", "<channel|>"}},
    {"</seed:think>", "<seed:think>", "</seed:think>", {"<seed:think>", "</seed:think>"}},
    {"</think>", "<think>", "</think>", {"<think>", "</think>"}},
};

bool Has(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

void AddThoughts(std::string_view chat_template, AnswerFormat& format) {
  for (const Thoughts& thoughts : kThoughts) {
    if (!Has(chat_template, thoughts.sign)) continue;
    format.thought_begin = thoughts.begin;
    format.thought_end = thoughts.end;
    for (const char* name : thoughts.tokens) format.tokens.push_back({name});
    return;
  }
}

void Replace(std::string& text, std::string_view name, char mark) {
  for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; ++at)
    text.replace(at, name.size(), 1, mark);
}

constexpr std::string AnswerFormat::*kTexts[] = {
    &AnswerFormat::thought_begin,      &AnswerFormat::thought_end,
    &AnswerFormat::text_begin,         &AnswerFormat::text_end,
    &AnswerFormat::calls_begin,        &AnswerFormat::calls_end,
    &AnswerFormat::call_begin,         &AnswerFormat::call_end,
    &AnswerFormat::call_separator,     &AnswerFormat::quote,
    &AnswerFormat::name_end,           &AnswerFormat::parameter_begin,
    &AnswerFormat::parameter_name_end, &AnswerFormat::parameter_end,
    &AnswerFormat::text_name_end,      &AnswerFormat::tag,
};

}  // namespace

std::string AnswerFormat::Trigger() const {
  const std::string& first = !calls_begin.empty() ? calls_begin : call_begin;
  if (first.empty()) return "{\"" + name_key + "\":";
  return first.substr(0, first.find_first_of(" \n"));
}

std::string AnswerFormat::CallHead() const {
  const bool needs_brace = body == CallBody::kObject && call_begin.find('{') == std::string::npos;
  return call_begin + (needs_brace ? "{" : "");
}

std::string AnswerFormat::WithMarksAs(std::string FormatToken::*form, std::string_view text) const {
  std::string written;
  for (const char byte : text) {
    const size_t token = static_cast<unsigned char>(byte) - kFirstMark;
    if (!IsMark(byte)) {
      written += byte;
    } else if (token < tokens.size()) {
      written += tokens[token].*form;
    }
  }
  return written;
}

std::string AnswerFormat::Shown(std::string_view text) const { return WithMarksAs(&FormatToken::text, text); }

std::string AnswerFormat::Named(std::string_view text) const { return WithMarksAs(&FormatToken::name, text); }

AnswerFormat OwnFormat() {
  AnswerFormat format = Hermes().format;
  format.name = kOwnName;
  return format;
}

bool IsOwn(const AnswerFormat& format) { return format.name == kOwnName; }

AnswerFormat FormatOf(std::string_view chat_template, bool knows_tools) {
  const auto is_sign = [&](std::string_view sign) { return Has(chat_template, sign); };
  AnswerFormat format = OwnFormat();
  for (const Family& family : Families()) {
    if (!knows_tools || !std::ranges::all_of(family.signs, is_sign)) continue;
    format = family.format;
    break;
  }
  AddThoughts(chat_template, format);
  return format;
}

AnswerFormat WithTokens(AnswerFormat format, std::vector<FormatToken> tokens) {
  THRONG_CHECK(tokens.size() <= AnswerFormat::kMaxTokens);
  format.tokens = std::move(tokens);
  for (size_t i = 0; i < format.tokens.size(); ++i) {
    for (const auto text : kTexts) Replace(format.*text, format.tokens[i].name, AnswerFormat::MarkOf(i));
  }
  if (!format.tag.empty() && !AnswerFormat::IsMark(format.tag[0])) format.tag.clear();
  return format;
}

std::vector<AnswerFormat> AllFormats() {
  std::vector<AnswerFormat> formats;
  for (const Family& family : Families()) formats.push_back(family.format);
  formats.push_back(OwnFormat());
  return formats;
}

}  // namespace throng::llm
