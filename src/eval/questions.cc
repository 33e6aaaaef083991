#include "eval/questions.h"

#include <zlib.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"

namespace throng::eval {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;

std::string ReadMaybeGzipped(const std::string& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) throw MakeError(ErrorCode::kIo, "{}: cannot open", path);
  std::string text;
  std::string buffer(1 << 16, '\0');
  int count;
  while ((count = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    text.append(buffer, 0, static_cast<size_t>(count));
    if (text.size() > kMaxBytes) {
      throw MakeError(ErrorCode::kInvalid, "{}: more than {} bytes of questions", path, kMaxBytes);
    }
  }
  int code = Z_OK;
  const char* const reason = gzerror(file.get(), &code);
  if (count < 0 || (code != Z_OK && code != Z_STREAM_END)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: cannot unpack: {}", path, reason);
  }
  return text;
}

Question Parse(const std::string& line) {
  const nlohmann::json object = nlohmann::json::parse(line);
  return {.prompt = object.at("prompt").get<std::string>(),
          .choices = object.at("choices").get<std::vector<std::string>>(),
          .answer = object.at("answer").get<std::string>(),
          .distance = object.at("distance").get<int>()};
}

}  // namespace

std::vector<Question> ReadQuestions(const std::string& path, size_t most, int min_distance) {
  std::istringstream lines(ReadMaybeGzipped(path));
  std::vector<Question> questions;
  std::string line;
  for (int number = 1; (most == 0 || questions.size() < most) && std::getline(lines, line); ++number) {
    if (line.empty()) continue;
    try {
      Question question = Parse(line);
      if (question.distance >= min_distance) questions.push_back(std::move(question));
    } catch (const nlohmann::json::exception& error) {
      throw MakeError(ErrorCode::kCorrupt, "{}:{}: no question: {}", path, number, error.what());
    }
  }
  if (questions.empty()) {
    throw MakeError(ErrorCode::kCorrupt, "{}: holds no questions whose answer is {} tokens back", path,
                    min_distance);
  }
  return questions;
}

}  // namespace throng::eval
