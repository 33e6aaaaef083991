// Any bytes as an answer of any family of models are read without harm, and alike however they are cut.
// Input: a byte for the family, one for what the answer may be, the text.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "llm/tools/answer_parser.h"

using namespace throng;
using namespace throng::llm;

namespace {

const std::vector<Tool> kTools = {
    {"f", R"({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}})"}};

// All of the answer's events, those of one kind joined.
std::vector<AnswerEvent> Read(const std::shared_ptr<const AnswerForm>& form, std::string_view text,
                              size_t step) {
  AnswerParser parser(form);
  std::vector<AnswerEvent> events;
  for (size_t at = 0; at < text.size(); at += step) parser.Push(text.substr(at, step), events);
  parser.Finish(events);
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const std::vector<AnswerFormat> kFormats = AllFormats();
  AnswerFormat format = kFormats[data[0] % kFormats.size()];
  const int choice = data[1];
  if ((choice & 1) != 0) format.thought_begin = "<think>", format.thought_end = "</think>";
  format = WithTokens(format, (choice & 2) != 0 ? format.tokens : std::vector<FormatToken>());
  const auto form = std::make_shared<const AnswerForm>(
      AnswerForm{.format = format,
                 .thought = (choice & 4) != 0 ? AnswerForm::Thought::kBegun : AnswerForm::Thought::kMay,
                 .calls = (choice & 8) != 0 ? AnswerForm::Calls::kNever : AnswerForm::Calls::kMay,
                 .tools = kTools,
                 .text = {}});
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::vector<AnswerEvent> whole = Read(form, text, size);
  for (const size_t step : {1, 3}) {
    const std::vector<AnswerEvent> pieces = Read(form, text, step);
    THRONG_CHECK(pieces.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i)
      THRONG_CHECK(pieces[i].kind == whole[i].kind && pieces[i].text == whole[i].text);
  }
  return 0;
}
