// For tests: a copy of the built-in town whose files can be changed; removed at the end.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/mapped_file.h"

namespace throng::town {

class TownCopy {
 public:
  TownCopy() : dir_(std::filesystem::temp_directory_path() / ("throng_town_" + std::to_string(getpid()))) {
    namespace fs = std::filesystem;
    fs::remove_all(dir_);
    fs::create_directories(dir_ / "prompts");
    const fs::path from = fs::path(THRONG_SOURCE_DIR) / "town";
    for (const char* file : {"map.json", "places.json", "personas.json", "decisions.json", "scenario.json"}) {
      fs::copy_file(from / file, dir_ / file);
    }
    for (const auto& entry : fs::directory_iterator(from / "prompts")) {
      fs::copy_file(entry.path(), dir_ / "prompts" / entry.path().filename());
    }
  }
  ~TownCopy() { std::filesystem::remove_all(dir_); }

  std::string Dir() const { return dir_.string(); }
  std::string Read(const std::string& file) const { return ReadFile(dir_ / file); }
  void Write(const std::string& file, const std::string& text) { std::ofstream(dir_ / file) << text; }
  // Replaces the first occurrence, which must exist.
  void Replace(const std::string& file, const std::string& from, const std::string& to) {
    std::string text = Read(file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << file << ": " << from;
    text.replace(at, from.size(), to);
    Write(file, text);
  }
  void Remove(const std::string& file) { std::filesystem::remove(dir_ / file); }

 private:
  std::filesystem::path dir_;
};

}  // namespace throng::town
