#include "llm/backends/recording.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/digest.h"

namespace throng::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

Json Parse(const std::string& line, const std::string& where) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) throw MakeError(ErrorCode::kCorrupt, "{}: the line is not a JSON object", where);
  return json;
}

template <typename T>
T Field(const Json& json, const char* name, const std::string& where) {
  try {
    return json.at(name).get<T>();
  } catch (const Json::exception&) {
    throw MakeError(ErrorCode::kCorrupt, "{}: the field {:?} is missing or of a wrong type", where,
                    std::string_view(name));
  }
}

// Answers may end inside a code point, which JSON cannot hold.
std::string ToHex(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  return hex;
}

std::string FromHex(const std::string& hex, const std::string& where) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size() + hex.size() % 2; i += 2) {
    const int high = digit(hex[i]);
    const int low = i + 1 < hex.size() ? digit(hex[i + 1]) : -1;
    if (high < 0 || low < 0) throw MakeError(ErrorCode::kCorrupt, "{}: text_hex is not hexadecimal", where);
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

}  // namespace

std::string RequestDigest(const Request& request) {
  Hasher hasher;
  hasher.Add(request.function).Add(request.system).Add(request.prompt).Add(request.constraint.json_schema);
  hasher.Add(request.constraint.choices.size());
  for (const std::string& choice : request.constraint.choices) hasher.Add(choice);
  hasher.Add(request.stop.size());
  for (const std::string& stop : request.stop) hasher.Add(stop);
  return hasher.Finish().Hex();
}

std::string RecordingHeader(const std::string& identity) {
  return Json{{"throng_recording", kVersion}, {"identity", identity}}.dump(-1, ' ', false,
                                                                           Json::error_handler_t::replace);
}

std::string ParseRecordingHeader(const std::string& line, const std::string& where) {
  const Json json = Parse(line, where);
  const int version = Field<int>(json, "throng_recording", where);
  if (version != kVersion) {
    throw MakeError(ErrorCode::kCorrupt,
                    "{}: the recording has version {}, but this program reads version {}", where, version,
                    kVersion);
  }
  return Field<std::string>(json, "identity", where);
}

std::string RecordingLine(const Completion& completion, const std::string& function,
                          const std::string& digest) {
  Json json = {{"agent", completion.key.agent},
               {"step", completion.key.step},
               {"call", completion.key.call},
               {"function", function},
               {"request", digest},
               {"finish", completion.finish == FinishReason::kLength ? "length" : "stop"},
               {"prompt_tokens", completion.prompt_tokens},
               {"cached_prompt_tokens", completion.cached_prompt_tokens},
               {"output_tokens", completion.output_tokens},
               {"text", completion.text}};
  try {
    return json.dump();
  } catch (const Json::exception&) {
    json.erase("text");
    json["text_hex"] = ToHex(completion.text);
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

RecordedAnswer ParseRecordingLine(const std::string& line, const std::string& where) {
  const Json json = Parse(line, where);
  RecordedAnswer answer;
  answer.function = Field<std::string>(json, "function", where);
  answer.digest = Field<std::string>(json, "request", where);
  Completion& completion = answer.completion;
  completion.key.agent = Field<uint32_t>(json, "agent", where);
  completion.key.step = Field<int32_t>(json, "step", where);
  completion.key.call = Field<uint32_t>(json, "call", where);
  const auto finish = Field<std::string>(json, "finish", where);
  if (finish != "stop" && finish != "length") {
    throw MakeError(ErrorCode::kCorrupt, "{}: finish is {:?}, but can only be stop or length", where, finish);
  }
  completion.finish = finish == "length" ? FinishReason::kLength : FinishReason::kStop;
  completion.prompt_tokens = Field<int>(json, "prompt_tokens", where);
  completion.cached_prompt_tokens = Field<int>(json, "cached_prompt_tokens", where);
  completion.output_tokens = Field<int>(json, "output_tokens", where);
  completion.text = json.contains("text_hex") ? FromHex(Field<std::string>(json, "text_hex", where), where)
                                              : Field<std::string>(json, "text", where);
  return answer;
}

}  // namespace throng::llm
