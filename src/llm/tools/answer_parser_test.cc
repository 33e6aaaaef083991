#include "llm/tools/answer_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "llm/answer/schema_check.h"
#include "llm/grammar/answer_maker.h"
#include "llm/grammar/automaton.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;
using Calls = AnswerForm::Calls;
using Thought = AnswerForm::Thought;

constexpr const char* kWeather = R"({
  "type": "object",
  "properties": {
    "city": {"type": "string"},
    "days": {"type": "integer", "minimum": 1, "maximum": 9},
    "unit": {"enum": ["C", "F"]}
  },
  "required": ["city", "days"]
})";
constexpr const char* kTrip = R"({
  "type": "object",
  "properties": {
    "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}, "minItems": 1, "maxItems": 3},
    "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
    "code": {"type": "string", "pattern": "^[a-z<>/]{3}$"}
  },
  "required": ["stops", "note", "code"],
  "$defs": {"stop": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}
})";
const std::vector<Tool> kTools = {{"weather", kWeather}, {"now", R"({"type": "object", "properties": {}})"}};
const std::vector<Tool> kHarderTools = {{"plan.a-trip", kTrip}, kTools[0], kTools[1]};

// An answer, all of it.
struct Parsed {
  std::string thought, text;
  std::vector<std::pair<std::string, std::string>> calls;
  bool operator==(const Parsed&) const = default;

  void Add(std::vector<AnswerEvent> events) {
    for (AnswerEvent& event : events) {
      if (event.kind == AnswerEvent::Kind::kThought) thought += event.text;
      if (event.kind == AnswerEvent::Kind::kText) text += event.text;
      if (event.kind == AnswerEvent::Kind::kCall) calls.emplace_back(event.text, "");
      if (event.kind == AnswerEvent::Kind::kArguments) calls.back().second += event.text;
    }
  }
};

std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  out << "thought " << parsed.thought << "| text " << parsed.text;
  for (const auto& [name, arguments] : parsed.calls) out << "| " << name << " " << arguments;
  return out;
}

Parsed ParseIn(const AnswerForm& form, const std::vector<std::string_view>& pieces) {
  AnswerParser parser(std::make_shared<const AnswerForm>(form));
  Parsed parsed;
  const auto take = [&](const auto& read) {
    std::vector<AnswerEvent> events;
    read(events);
    parsed.Add(std::move(events));
  };
  for (const std::string_view piece : pieces) take([&](auto& events) { parser.Push(piece, events); });
  take([&](auto& events) { parser.Finish(events); });
  return parsed;
}

// As a whole, in two pieces cut anywhere (or at every `step` bytes), and byte by byte.
Parsed Parse(const AnswerForm& form, std::string_view text, size_t step = 1) {
  const Parsed whole = ParseIn(form, {text});
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    bytes.push_back(text.substr(i, 1));
    if (i % step != 0) continue;
    EXPECT_EQ(ParseIn(form, {text.substr(0, i), text.substr(i)}), whole) << text << " cut at " << i;
  }
  EXPECT_EQ(ParseIn(form, bytes), whole) << text;
  return whole;
}

AnswerForm FormOf(AnswerFormat format, Calls calls = Calls::kMay, Thought thought = Thought::kMay) {
  return {.format = std::move(format), .thought = thought, .calls = calls, .tools = kTools, .text = {}};
}

// The format for a vocabulary that has all of its tokens.
AnswerFormat Marked(const AnswerFormat& format) {
  std::vector<FormatToken> tokens = format.tokens;
  if (tokens.size() > 1) tokens[1].text = tokens[1].name;  // one that is text elsewhere
  return WithTokens(format, tokens);
}

// The format for a vocabulary that has none of them.
AnswerFormat Unmarked(const AnswerFormat& format) { return WithTokens(format, {}); }

// The text with its tokens as marks.
std::string Spelled(const AnswerFormat& format, std::string text) {
  for (size_t i = 0; i < format.tokens.size(); ++i) {
    const std::string& name = format.tokens[i].name;
    for (size_t at; (at = text.find(name)) != std::string::npos;)
      text.replace(at, name.size(), 1, AnswerFormat::MarkOf(i));
  }
  return text;
}

AnswerFormat Family(std::string_view name) {
  for (AnswerFormat& format : AllFormats())
    if (format.name == name) return std::move(format);
  ADD_FAILURE() << name;
  return {};
}

// How models of each family write the call weather({"city": "Rome", "days": 3}).
const std::map<std::string, std::string> kWritten = {
    {"gpt-oss",
     "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\":\"Rome\",\"days\":3}"},
    {"DeepSeek R1, V3",
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
     "{\"city\":\"Rome\",\"days\":3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"DeepSeek V3.1",
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\":\"Rome\",\"days\":3}"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
    {"DeepSeek V3.2",
     "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Rome</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"},
    {"DeepSeek V4",
     "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Rome</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"},
    {"Mistral, with [ARGS]", "[TOOL_CALLS]weather[ARGS]{\"city\":\"Rome\",\"days\":3}"},
    {"Mistral", "[TOOL_CALLS] [{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}]"},
    {"Command A, R7B",
     "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": "
     "{\"city\":\"Rome\",\"days\":3}}]<|END_ACTION|>"},
    {"Kimi K2",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>"
     "{\"city\":\"Rome\",\"days\":3}<|tool_call_end|><|tool_calls_section_end|>"},
    {"MiniMax M2",
     "<minimax:tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">Rome</parameter>\n"
     "<parameter name=\"days\">3</parameter>\n</invoke>\n</minimax:tool_call>"},
    {"Seed-OSS",
     "<seed:tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n<parameter=days>\n3\n"
     "</parameter>\n</function>\n</seed:tool_call>"},
    {"Qwen3-Coder",
     "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n<parameter=days>\n3\n"
     "</parameter>\n</function>\n</tool_call>"},
    {"GLM 4.5",
     "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</arg_key>\n"
     "<arg_value>3</arg_value>\n</tool_call>"},
    {"Gemma 4", "<|tool_call>call:weather{city:<|\"|>Rome<|\"|>,days:3}<tool_call|>"},
    {"FunctionGemma",
     "<start_function_call>call:weather{city:<escape>Rome<escape>,days:3}<end_function_call>"},
    {"Gemma 3, tool_code", "```tool_code\nweather(city=\"Rome\", days=3)\n```"},
    {"LFM 2.5", "<|tool_call_start|>[weather(city=\"Rome\", days=3)]<|tool_call_end|>"},
    {"Llama 4, calls of Python", "[weather(city=\"Rome\", days=3)]"},
    {"Phi 4 mini",
     "<|tool_call|>[{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}]<|/tool_call|>"},
    {"Granite 3", "<|tool_call|>[{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}]"},
    {"Nemotron",
     "<TOOLCALL>[{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}]</TOOLCALL>"},
    {"Hermes, Qwen",
     "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}\n</tool_call>"},
    {"Functionary v3.1", "<function=weather>{\"city\":\"Rome\",\"days\":3}</function>"},
    {"Llama 4", "{\"name\": \"weather\", \"parameters\": {\"city\":\"Rome\",\"days\":3}}"},
    {"Llama 3", "{\"name\": \"weather\", \"parameters\": {\"city\":\"Rome\",\"days\":3}}"},
    {"our own",
     "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\",\"days\":3}}\n</tool_call>"},
};
const Parsed kOneCall = {"", "", {{"weather", R"({"city":"Rome","days":3})"}}};

TEST(AnswerParser, ReadsWhatEachFamilyWrites) {
  for (const AnswerFormat& plain : AllFormats()) {
    ASSERT_TRUE(kWritten.contains(plain.name)) << plain.name;
    const std::string& written = kWritten.at(plain.name);
    for (const AnswerFormat& format : {Unmarked(plain), Marked(plain)}) {
      SCOPED_TRACE(format.name);
      const AnswerForm form = FormOf(format);
      const std::string text = Spelled(format, written);
      EXPECT_EQ(Parse(form, text), kOneCall);
      EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches(text));
      EXPECT_TRUE(Automaton(CompileAnswer(FormOf(format, Calls::kMust))).Matches(text));
      EXPECT_FALSE(Automaton(CompileAnswer(FormOf(format, Calls::kNever))).Matches(text));
      const std::string free =
          Spelled(format, plain.text_begin + "It rains. {\"name\": [3]}" + plain.text_end);
      EXPECT_EQ(Parse(form, free), (Parsed{"", "It rains. {\"name\": [3]}", {}}));
      EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches(free));
      EXPECT_FALSE(Automaton(CompileAnswer(FormOf(format, Calls::kMust))).Matches(free));
    }
  }
}

// A template names its family by what it writes.
TEST(AnswerFormat, IsToldByTheTemplate) {
  for (const auto& [name, written] : kWritten) {
    if (name == "our own") continue;
    std::string source = "{% for t in tools %}{{ t }}{% endfor %}" + written;
    if (name == "Llama 3") source += "<|start_header_id|>";
    if (name == "Llama 4") source += "<|header_start|>";
    if (name == "Llama 4, calls of Python") source += "[func_name1(params_name1=params_value1)]";
    EXPECT_EQ(FormatOf(source, true).name, name);
    EXPECT_TRUE(IsOwn(FormatOf(source, false)));
    EXPECT_FALSE(FormatOf(source, true).HasThoughts());
    EXPECT_EQ(FormatOf(source + "</think>", true).thought_begin, "<think>");
    EXPECT_LE(FormatOf(source + "</think>", true).tokens.size(), AnswerFormat::kMaxTokens);
  }
  EXPECT_TRUE(IsOwn(FormatOf("{{ tools }}", true)));
}

// Llama's tools of its own are called as methods of Python, and its code interpreter by code.
TEST(AnswerParser, ReadsWhatFollowsATag) {
  const std::vector<Tool> tools = {
      {"brave_search", R"({"type":"object","properties":{"query":{"type":"string"}},"required":["query"]})"},
      {"weather", kWeather},
      {"code_interpreter",
       R"({"type":"object","properties":{"code":{"type":"string"}},"required":["code"]})"}};
  const std::pair<std::string, std::pair<std::string, std::string>> written[] = {
      {R"(brave_search.call(query="tea in \"Rome\""))", {"brave_search", R"({"query":"tea in \"Rome\""})"}},
      {R"(weather.call(city="Rome", days=3))", {"weather", R"({"city":"Rome","days":3})"}},
      {R"({"name": "weather", "parameters": {"city":"Rome","days":3}})",
       {"weather", R"({"city":"Rome","days":3})"}},
      {"x = {\"a\": 1}\nprint(x)\n", {"code_interpreter", R"({"code":"x = {\"a\": 1}\nprint(x)\n"})"}},
      {"print(\"ü\")", {"code_interpreter", R"_({"code":"print(\"ü\")"})_"}},
  };
  AnswerForm form = FormOf(Marked(Family("Llama 3")));
  form.tools = tools;
  const auto spelled = [&](const std::string& text) { return Spelled(form.format, "<|python_tag|>" + text); };
  for (const auto& [text, call] : written) {
    const std::string answer = spelled(text);
    EXPECT_EQ(Parse(form, answer), (Parsed{"", "", {call}}));
    EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches(answer)) << answer;
    AnswerForm other = form;
    other.calls = Calls::kNever;
    EXPECT_EQ(Parse(other, answer).calls.size(), 0);
    EXPECT_FALSE(Automaton(CompileAnswer(other)).Matches(answer));
    // Where the vocabulary has no such token, there are no such calls.
    other = FormOf(Unmarked(Family("Llama 3")));
    EXPECT_EQ(Parse(other, "<|python_tag|>" + text).calls.size(), 0);
  }
  EXPECT_EQ(Parse(form, "So print(1)").text, "So print(1)");
  form.tools = {tools[1]};  // none that runs code
  EXPECT_FALSE(Automaton(CompileAnswer(form)).Matches(spelled("print(1)")));
  EXPECT_FALSE(Automaton(CompileAnswer(form)).Matches(spelled("weather.call(city=\"Rome\")")));
  EXPECT_EQ(Parse(form, spelled("print(1)")), (Parsed{"", "print(1)", {}}));
}

TEST(AnswerParser, ReadsListsOfPython) {
  const AnswerForm form = FormOf(Family("Llama 4, calls of Python"));
  EXPECT_EQ(Parse(form, "[weather('Rome', days=2), now()]"),
            (Parsed{"", "", {{"weather", R"({"city":"Rome","days":2})"}, {"now", "{}"}}}));
  EXPECT_EQ(Parse(form, "[1] says so").text, "[1] says so");
  EXPECT_EQ(Parse(form, "[weather is fine").text, "[weather is fine");
  EXPECT_EQ(
      Parse(FormOf(Family("Gemma 3, tool_code")), "I see. ```tool_code\nnow()\nweather(city='Rome')\n```"),
      (Parsed{"", "I see.", {{"now", "{}"}, {"weather", R"({"city":"Rome"})"}}}));
}

TEST(AnswerParser, ThoughtsComeFirst) {
  const std::pair<const char*, const char*> thoughts[] = {
      {"</think>", "<think>\nHm, <3.\n</think>\n\n"},
      {"[/THINK]", "[THINK]Hm, <3.[/THINK]"},
      {"<|channel>", "<|channel>thought\nHm, <3.<channel|>"},
      {"<|END_THINKING|>", "<|START_THINKING|>Hm, <3.<|END_THINKING|>"},
      {"<|channel|>analysis", "<|channel|>analysis<|message|>Hm, <3.<|end|><|start|>assistant"},
  };
  for (const auto& [sign, thought] : thoughts) {
    const std::string source = std::string(sign) + "<tool_call>";
    const AnswerFormat plain = FormatOf(source, true);
    for (const AnswerFormat& format : {Unmarked(plain), Marked(plain)}) {
      SCOPED_TRACE(sign);
      const std::string call = Spelled(format, kWritten.at("Hermes, Qwen"));
      const AnswerForm form = FormOf(format);
      const std::string text = Spelled(format, thought);
      Parsed expected = kOneCall;
      expected.thought = "Hm, <3.";
      EXPECT_EQ(Parse(form, text + call), expected);
      EXPECT_TRUE(Automaton(CompileAnswer(FormOf(format, Calls::kMust))).Matches(text + call));
      EXPECT_EQ(Parse(form, text + "Yes. "), (Parsed{"Hm, <3.", "Yes. ", {}}));
      const AnswerForm begun = FormOf(format, Calls::kMay, Thought::kBegun);
      const std::string rest = text.substr(format.thought_begin.size());
      EXPECT_EQ(Parse(begun, rest + call), expected);
      EXPECT_TRUE(Automaton(CompileAnswer(begun)).Matches(rest + call));
      EXPECT_FALSE(Automaton(CompileAnswer(begun)).Matches("Hm"));  // a thought ends
      EXPECT_EQ(Parse(begun, "Hm "), (Parsed{"Hm", "", {}}));
      // Text that has begun cannot begin a thought.
      if (format.text_begin.empty()) {
        EXPECT_THAT(Parse(form, "So " + text).thought, "");
      }
      AnswerParser parser(std::make_shared<const AnswerForm>(form));
      std::vector<AnswerEvent> events;
      parser.Push(text + "Yes", events);
      EXPECT_EQ(parser.ThoughtBytes(), text.find_last_not_of('\n') + 1);
    }
  }
}

TEST(AnswerParser, TokensThatShowNothingDoNotMakeAThoughtLate) {
  const AnswerForm form = FormOf(Unmarked(FormatOf("</think><tool_call>", true)));
  EXPECT_EQ(Parse(form, "\n\xf7\xf6\n<think>Hm</think>Yes"), (Parsed{"Hm", "Yes", {}}));
}

TEST(AnswerParser, ReadsChannels) {
  const AnswerFormat plain = FormatOf("{{ tools }}<|channel|>analysis<|message|>", true);
  EXPECT_EQ(plain.name, "gpt-oss");
  for (const AnswerFormat& format : {Unmarked(plain), Marked(plain)}) {
    const std::string thought =
        Spelled(format, "<|channel|>analysis<|message|>Hm, {<|end|><|start|>assistant");
    const std::string final = Spelled(format, "<|channel|>final<|message|>Yes {1}.");
    const std::string call = Spelled(format, kWritten.at("gpt-oss"));
    for (const Calls calls : {Calls::kMay, Calls::kNever}) {
      const AnswerForm form = FormOf(format, calls);
      EXPECT_EQ(Parse(form, thought + final), (Parsed{"Hm, {", "Yes {1}.", {}}));
      EXPECT_EQ(Parse(form, final), (Parsed{"", "Yes {1}.", {}}));
      EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches(thought + final));
      EXPECT_EQ(Automaton(CompileAnswer(form)).Matches(thought + call), calls == Calls::kMay);
    }
    EXPECT_EQ(Parse(FormOf(format), thought + call), (Parsed{"Hm, {", "", kOneCall.calls}));
  }
}

TEST(AnswerParser, ReadsSeveralCallsAndTextBeforeThem) {
  for (const char* name : {"Hermes, Qwen", "Mistral", "DeepSeek V3.1", "GLM 4.5", "Kimi K2", "Qwen3-Coder"}) {
    const AnswerFormat format = Marked(Family(name));
    const AnswerForm form = FormOf(format);
    const std::string call = Spelled(format, kWritten.at(name));
    const size_t begin = format.calls_begin.size(), end = format.calls_end.size();
    const std::string inner = call.substr(begin, call.size() - begin - end);
    const std::string two = format.calls_begin + inner + format.call_separator + inner + format.calls_end;
    EXPECT_EQ(Parse(form, "Let me see.\n" + two),
              (Parsed{"", "Let me see.", {kOneCall.calls[0], kOneCall.calls[0]}}))
        << name;
    EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches("Let me see.\n" + two)) << name;
    AnswerForm single = form;
    single.parallel = false;
    EXPECT_FALSE(Automaton(CompileAnswer(single)).Matches(two)) << name;
    EXPECT_TRUE(Automaton(CompileAnswer(single)).Matches(call)) << name;
  }
}

TEST(AnswerParser, ReadsWhatIsWrong) {
  const AnswerForm form = FormOf(Family("Hermes, Qwen"));
  const std::pair<const char*, Parsed> texts[] = {
      {"", {}},
      {"a <tool", {"", "a <tool", {}}},
      {" a \n", {"", " a \n", {}}},
      {"<tool_call>\nnot JSON\n</tool_call>", {"", "<tool_call>\nnot JSON\n</tool_call>", {}}},
      {"<tool_call>\n{\"name\": \"wea", {}},
      {"a <tool_call>", {"", "a", {}}},
      {"<tool_call>{\"name\": 5}</tool_call>", {"", "<tool_call>{\"name\": 5}</tool_call>", {}}},
      {"<tool_call>{\"arguments\": {}}</tool_call>", {"", "<tool_call>{\"arguments\": {}}</tool_call>", {}}},
      {"<tool_call>{\"name\": \"now\"}</tool_call>", {"", "", {{"now", "{}"}}}},
      {"<tool_call>{\"arguments\" : {\"a\": 1},\n\"id\": [1], \"name\": \"f\"}</tool_call>",
       {"", "", {{"f", "{\"a\": 1}"}}}},
      {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": \"Ro", {"", "", {{"f", "{\"city\": \"Ro"}}}},
      {"<tool_call>\n{\"name\": \"f\"}\n</tool_", {"", "", {{"f", "{}"}}}},
      {"<tool_call>\n{\"name\": \"f\", \"argum", {"", "", {{"f", ""}}}},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call><tool_call>{\\\"name\\\": "
       "\\\"x\\\"}\"}}"
       "</tool_call>",
       {"", "", {{"f", "{\"a\": \"</tool_call><tool_call>{\\\"name\\\": \\\"x\\\"}\"}"}}}},
      {"<tool_call>{\"name\": \"f\", \"arguments\": [1, }} oops</tool_call>",
       {"", "oops</tool_call>", {{"f", "[1, }"}}}},
  };
  for (const auto& [text, parsed] : texts) EXPECT_EQ(Parse(form, text), parsed) << text;

  const AnswerForm xml = FormOf(Family("Qwen3-Coder"));
  const std::string begin = "<tool_call>\n<function=weather>\n";
  EXPECT_EQ(Parse(xml, begin + "<parameter=city>\n\n5\n\n</parameter>\n<parameter=days>\n3"),
            (Parsed{"", "", {{"weather", "{\"city\":\"\\n5\\n\""}}}));
  EXPECT_EQ(Parse(xml, begin + "<parameter=days>3</parameter><parameter=more>{\"a\": [1]}</parameter>"
                               "<parameter=other>x</parameter></function></tool_call>"),
            (Parsed{"", "", {{"weather", R"({"days":3,"more":{"a":[1]},"other":"x"})"}}}));
  const AnswerForm braces = FormOf(Unmarked(Family("Gemma 4")));
  EXPECT_EQ(Parse(braces, "<|tool_call>call:f{a:[{b:<|\"|>x\"<|\n<|\"|>,c:null},-1.5], d : {}}<tool_call|>"),
            (Parsed{"", "", {{"f", "{\"a\":[{\"b\":\"x\\\"<|\\n\",\"c\":null},-1.5], \"d\": {}}"}}}));
  EXPECT_EQ(Parse(braces, "<|tool_call>call:f{a:<|\"|>x"), (Parsed{"", "", {{"f", "{\"a\":\"x"}}}));
  EXPECT_EQ(Parse(braces, "<|tool_call>call:f{}<tool_call|> "), (Parsed{"", "", {{"f", "{}"}}}));
  EXPECT_EQ(Parse(xml, "<tool_call>\n<function=wea ther>"),
            (Parsed{"", "<tool_call>\n<function=wea ther>", {}}));
}

// With tokens for what marks a call, text that looks like one is text.
TEST(AnswerParser, TokensAreNoText) {
  for (const char* name : {"Hermes, Qwen", "Mistral", "gpt-oss", "GLM 4.5", "Command A, R7B"}) {
    const AnswerFormat plain = Family(name);
    const AnswerForm form = FormOf(Marked(plain));
    const std::string said = kWritten.at(name);
    EXPECT_EQ(Parse(form, said), (Parsed{"", said, {}})) << name;
    EXPECT_TRUE(Automaton(CompileAnswer(form)).Matches(form.format.text_begin + said)) << name;
  }
  // Tokens out of place show what they are elsewhere: nothing, or text.
  const AnswerFormat format = Marked(Family("Hermes, Qwen"));
  EXPECT_EQ(Parse(FormOf(format), Spelled(format, "a </tool_call>b")), (Parsed{"", "a </tool_call>b", {}}));
  EXPECT_EQ(Parse(FormOf(format, Calls::kNever), Spelled(format, "a <tool_call>b")), (Parsed{"", "a b", {}}));
}

// Wherever an answer is cut, nothing of a call is text.
TEST(AnswerParser, CallsThatAreCutShortAreNoText) {
  for (const AnswerFormat& plain : AllFormats()) {
    for (const AnswerFormat& format : {Unmarked(plain), Marked(plain)}) {
      SCOPED_TRACE(format.name);
      AnswerForm must = FormOf(format, Calls::kMust);
      must.tools = {{"go", R"({"type":"object","properties":{"to":{"enum":["a","b"]}},"required":["to"]})"},
                    kTools[1]};  // short answers
      AnswerForm may = must;
      may.calls = Calls::kMay;
      const Grammar grammar = CompileAnswer(must);
      for (uint64_t seed = 0; seed < 3; ++seed) {
        CounterRng rng(seed);
        const std::string text = RandomText(grammar, rng);
        for (size_t i = 0; i < text.size(); ++i) {
          const std::string_view begin = std::string_view(text).substr(0, i);
          EXPECT_EQ(ParseIn(must, {begin}).text, "") << begin;
          const Parsed free = ParseIn(may, {begin});
          if (!free.calls.empty()) {
            EXPECT_EQ(free.text, "") << begin;
          }
        }
      }
    }
  }
}

// Whatever the grammar allows is read, and its arguments follow their schemas.
TEST(AnswerGrammar, MakesCallsThatAreRead) {
  for (const AnswerFormat& plain : AllFormats()) {
    for (const Calls calls : {Calls::kMust, Calls::kMay}) {
      AnswerForm form = FormOf(calls == Calls::kMust ? Marked(plain) : Unmarked(plain), calls);
      form.tools = kHarderTools;
      const Grammar grammar = CompileAnswer(form);
      for (uint64_t seed = 0; seed < 3; ++seed) {
        CounterRng rng(seed);
        const std::string text = RandomText(grammar, rng);
        SCOPED_TRACE(plain.name + ": " + text);
        const Parsed parsed = Parse(form, text, 64);
        if (calls == Calls::kMust) {
          EXPECT_FALSE(parsed.calls.empty());
          EXPECT_EQ(parsed.text, "");
        }
        for (const auto& [name, arguments] : parsed.calls) {
          const auto tool = std::ranges::find(kHarderTools, name, &Tool::name);
          ASSERT_NE(tool, kHarderTools.end());
          ASSERT_TRUE(Json::accept(arguments)) << arguments;
          EXPECT_EQ(SchemaCheck(tool->parameters).WhatIsWrong(Json::parse(arguments)), "");
        }
      }
    }
  }
}

TEST(AnswerGrammar, TextFollowsItsConstraintAfterTheThought) {
  AnswerForm form = FormOf(FormatOf("</think>", false), Calls::kMay);
  form.text.choices = {"yes", "no"};
  Automaton automaton(CompileAnswer(form));
  for (const char* text : {"yes", "<think>Hm</think>\n\nno", "<think></think>yes"})
    EXPECT_TRUE(automaton.Matches(text)) << text;
  for (const char* text : {"Hm", "<think>Hm", "<think>Hm</think>Hm"})
    EXPECT_FALSE(automaton.Matches(text)) << text;
  EXPECT_TRUE(automaton.Matches(kWritten.at("our own")));
}

TEST(AnswerGrammar, RefusesSchemasWithTheirPaths) {
  const auto why = [](const AnswerFormat& format, const char* schema) -> std::string {
    try {
      CheckTool(format, {"f", schema});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const AnswerFormat objects = Family("Hermes, Qwen"), parameters = Family("GLM 4.5");
  const char* unknown = R"({"type": "object", "properties": {"a": {"type": "strin"}}})";
  EXPECT_THAT(why(objects, unknown), ::testing::HasSubstr("#/properties/a"));
  EXPECT_THAT(why(parameters, unknown), ::testing::HasSubstr("#/properties/a"));
  EXPECT_EQ(why(objects, R"({"anyOf": [{"type": "object"}, {"type": "null"}]})"), "");
  EXPECT_THAT(why(parameters, R"({"anyOf": [{"type": "object"}, {"type": "null"}]})"),
              ::testing::HasSubstr("alternatives"));
  EXPECT_THAT(why(parameters, R"({"type": "object", "minProperties": 1})"),
              ::testing::HasSubstr("#/minProperties"));
  EXPECT_THAT(why(parameters, R"({"type": "object", "properties": {"a>": {}}})"), ::testing::HasSubstr("a>"));
}

}  // namespace
}  // namespace throng::llm
