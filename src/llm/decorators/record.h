// Writes each answer of a backend to a file, from which replay.h can give it again.
#pragma once

#include <cstdio>
#include <string>
#include <unordered_map>

#include "llm/decorators/decorator.h"

namespace throng::llm {

class RecordLlm : public Decorator {
 public:
  // Goes on with a file that exists. Throws kIo if the file cannot be written, kCorrupt if it is no
  // recording.
  RecordLlm(std::unique_ptr<Llm> inner, const std::string& path);

  void Submit(Request request) override;
  // Answers reach the operating system before they are returned; throws kIo if they cannot.
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Confirm(const Request& request, const Completion& completion) override;

 private:
  struct Asked {
    std::string function;
    std::string digest;
  };
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  void Flush();
  void Write(const std::string& line);

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::unordered_map<uint64_t, Asked> asked_;
};

}  // namespace throng::llm
