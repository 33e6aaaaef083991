#include "model/tokenizer/tokenizer_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace throng::model {
namespace {

enum class Role {
  kFrame,    // stands between messages
  kTurnEnd,  // ends a turn, and so an answer
  kEnd,      // ends an answer: the text, the file, a call that waits for its result
};

// The types with which a name means that.
enum class Given {
  kAny,      // no text has this name by chance, so it is a control token whatever the file says
  kSpecial,  // control or user-defined
  kControl,  // else it may be a word of the text, such as a tag of HTML
};

struct NamedToken {
  std::string_view name;
  Role role;
  Given given = Given::kAny;
};

constexpr NamedToken kNamed[] = {
    {"<|eot_id|>", Role::kTurnEnd},
    {"<|im_end|>", Role::kTurnEnd},
    {"<|end|>", Role::kTurnEnd},
    {"<end_of_turn>", Role::kTurnEnd},
    {"<turn|>", Role::kTurnEnd},
    {"<|eom_id|>", Role::kTurnEnd},
    {"<end_of_utterance>", Role::kTurnEnd},
    {"<EOT>", Role::kTurnEnd, Given::kControl},
    {"_<EOT>", Role::kTurnEnd, Given::kControl},
    {"[EOT]", Role::kTurnEnd, Given::kControl},
    {"[e~[", Role::kTurnEnd, Given::kControl},
    {"<|return|>", Role::kEnd},
    {"<|call|>", Role::kEnd},
    {"<|calls|>", Role::kEnd},
    {"<|flush|>", Role::kEnd},
    {"<|tool_response>", Role::kEnd},
    {"<|endoftext|>", Role::kEnd},
    {"<|end_of_text|>", Role::kEnd},
    {"<\uFF5Cend\u2581of\u2581sentence\uFF5C>", Role::kEnd},
    {"</s>", Role::kEnd, Given::kControl},
    {"<eos>", Role::kEnd, Given::kControl},
    {"[EOS]", Role::kEnd, Given::kControl},
    // A model that fills in the middle ends a file, or begins the next, with these.
    {"<|fim_pad|>", Role::kEnd, Given::kSpecial},
    {"<fim_pad>", Role::kEnd, Given::kSpecial},
    {"<|fim_repo|>", Role::kEnd, Given::kSpecial},
    {"<|repo_name|>", Role::kEnd, Given::kSpecial},
    {"<reponame>", Role::kEnd, Given::kSpecial},
    {"<|file_sep|>", Role::kEnd, Given::kSpecial},
    {"<|im_start|>", Role::kFrame},
    {"<|start_header_id|>", Role::kFrame},
    {"<|end_header_id|>", Role::kFrame},
    {"<start_of_turn>", Role::kFrame},
    {"<|turn>", Role::kFrame},
    {"<|system|>", Role::kFrame},
    {"<|user|>", Role::kFrame},
    {"<|assistant|>", Role::kFrame},
};

std::string_view NameOf(TokenType type) {
  switch (type) {
    case TokenType::kNormal:
      return "normal";
    case TokenType::kUnknown:
      return "unknown";
    case TokenType::kControl:
      return "control";
    case TokenType::kUserDefined:
      return "user-defined";
    case TokenType::kUnused:
      return "unused";
    case TokenType::kByte:
      return "byte";
  }
  return "another";
}

int32_t Find(std::string_view name, const TextIndex& by_name, const TokenizerData& data) {
  return by_name.Find(name, [&](int32_t id) -> std::string_view { return data.tokens[id]; });
}

// In the vocabularies of gpt-oss and Solar, messages within an answer end with <|end|>, the answer with
// others.
bool EndsMessagesOnly(std::string_view name, const TextIndex& by_name, const TokenizerData& data) {
  if (name != "<|end|>") return false;
  const auto has = [&](std::string_view other) { return Find(other, by_name, data) >= 0; };
  return (has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"));
}

}  // namespace

std::vector<int32_t> FindEnds(TokenizerData& data, const TextIndex& by_name) {
  std::vector<int32_t> ends = data.more_ends;
  for (const NamedToken& named : kNamed) {
    if (named.role == Role::kFrame || EndsMessagesOnly(named.name, by_name, data)) continue;
    const int32_t id = Find(named.name, by_name, data);
    if (id < 0) continue;
    const TokenType type = data.types[id];
    const bool is_special = type == TokenType::kControl || type == TokenType::kUserDefined;
    if (named.given == Given::kControl && type != TokenType::kControl) continue;
    if (named.given == Given::kSpecial && !is_special) continue;
    ends.push_back(id);
    if (named.role == Role::kTurnEnd && data.eot < 0) data.eot = id;
  }
  if (data.eos >= 0) ends.push_back(data.eos);
  if (data.eot >= 0) ends.push_back(data.eot);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

std::vector<std::string> MendTypes(TokenizerData& data, const TextIndex& by_name) {
  std::vector<std::string> mended;
  for (const NamedToken& named : kNamed) {
    const int32_t id = named.given == Given::kAny ? Find(named.name, by_name, data) : -1;
    if (id < 0 || data.types[id] == TokenType::kControl) continue;
    mended.push_back(fmt::format("{} ({})", named.name, NameOf(data.types[id])));
    data.types[id] = TokenType::kControl;
  }
  return mended;
}

}  // namespace throng::model
