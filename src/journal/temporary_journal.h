// A journal that goes with the object: keeps the answers of a backend that may answer otherwise the next
// time.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "journal/journal.h"

namespace throng::journal {

class TemporaryJournal {
 public:
  TemporaryJournal()
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("throng-verify-{}-{}.journal", getpid(), ++made_)),
        journal_(Journal::Create(path_)) {}
  ~TemporaryJournal() {
    journal_.reset();
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryJournal(const TemporaryJournal&) = delete;
  TemporaryJournal& operator=(const TemporaryJournal&) = delete;

  Journal& Get() { return *journal_; }

 private:
  static inline std::atomic<int> made_ = 0;
  std::string path_;
  std::unique_ptr<Journal> journal_;
};

}  // namespace throng::journal
