// Any bytes as a journal file are refused with an Error or read to the end.

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "journal/journal.h"

using namespace throng;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // In memory where the system has such a folder: a disk would be the bottleneck.
  static const std::string path = [] {
    const char* folder = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    return std::string(folder) + "/journal_fuzz." + std::to_string(getpid());
  }();
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path + suffix);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  THRONG_CHECK(file != nullptr && std::fwrite(data, 1, size, file) == size);
  std::fclose(file);
  try {
    const auto journal = journal::Journal::OpenToRead(path);
    journal->NumAnswers();
    journal->NumSteps();
    journal->FindAnswer({1, 2, 0});
    journal->CanonicalDigest();
  } catch (const Error&) {
  }
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) std::filesystem::remove(path + suffix);
  return 0;
}
