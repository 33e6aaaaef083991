#include "journal/store/scratch_journal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <system_error>

namespace throng::journal {

namespace {

std::string NewPath() {
  static std::atomic<int> made = 0;
  return std::filesystem::temp_directory_path() / fmt::format("throng-{}-{}.journal", getpid(), ++made);
}

}  // namespace

ScratchJournal::ScratchJournal()
    : path_(NewPath()), journal_(Journal::Create(path_, {.keep_prompts = false})) {}

ScratchJournal::~ScratchJournal() {
  journal_.reset();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace throng::journal
