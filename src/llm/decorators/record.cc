#include "llm/decorators/record.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "llm/backends/recording.h"

namespace throng::llm {
namespace {

// A run that was killed may have left half a line, which would spoil the next one.
void CutLastLine(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string line;
  std::getline(in, line);
  ParseRecordingHeader(line, path + ":1");
  in.seekg(0, std::ios::end);
  auto size = static_cast<int64_t>(in.tellg());
  char last = '\0';
  int64_t keep = size;
  while (keep > 0) {
    in.seekg(keep - 1);
    in.get(last);
    if (last == '\n') break;
    --keep;
  }
  in.close();
  if (keep != size) std::filesystem::resize_file(path, static_cast<uintmax_t>(keep));
}

}  // namespace

RecordLlm::RecordLlm(std::unique_ptr<Llm> inner, const std::string& path)
    : Decorator(std::move(inner)), path_(path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  const bool goes_on = !error && size > 0;
  if (goes_on) CutLastLine(path);
  file_.reset(std::fopen(path.c_str(), "ab"));
  if (file_ == nullptr) {
    throw MakeError(ErrorCode::kIo, "{}: cannot write the recording: {}", path, std::strerror(errno));
  }
  if (!goes_on || std::filesystem::file_size(path) == 0) Write(RecordingHeader(Inner().Identity()));
}

void RecordLlm::Write(const std::string& line) {
  const std::string text = line + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) {
    throw MakeError(ErrorCode::kIo, "{}: cannot write the recording: {}", path_, std::strerror(errno));
  }
}

void RecordLlm::Submit(Request request) {
  if (!request.guess) asked_[request.id] = {request.function, RequestDigest(request)};
  Inner().Submit(std::move(request));
}

void RecordLlm::Wait(std::vector<Completion>& done, double seconds) {
  const size_t before = done.size();
  Inner().Wait(done, seconds);
  for (size_t i = before; i < done.size(); ++i) {
    const Completion& completion = done[i];
    const auto asked = asked_.find(completion.id);
    if (asked == asked_.end()) continue;
    if (completion.finish == FinishReason::kStop || completion.finish == FinishReason::kLength) {
      Write(RecordingLine(completion, asked->second.function, asked->second.digest));
    }
    asked_.erase(asked);
  }
  Flush();
}

void RecordLlm::Confirm(const Request& request, const Completion& completion) {
  Inner().Confirm(request, completion);
  if (completion.finish == FinishReason::kError) return;
  Write(RecordingLine(completion, request.function, RequestDigest(request)));
  Flush();
}

void RecordLlm::Flush() {
  if (std::fflush(file_.get()) != 0) {
    throw MakeError(ErrorCode::kIo, "{}: cannot write the recording: {}", path_, std::strerror(errno));
  }
}

}  // namespace throng::llm
