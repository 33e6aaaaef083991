#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/mapped_file.h"

namespace throng {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest()
      : folder_(std::filesystem::path(testing::TempDir()) / ("atomic_file_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~AtomicFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const char* name) const { return (folder_ / name).string(); }
  size_t NumFiles() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator()));
  }
  std::filesystem::path folder_;
};

TEST_F(AtomicFileTest, AppearsAtCommitOnly) {
  {
    AtomicFile file(Path("a"));
    file.Write("one", 3);
    EXPECT_FALSE(std::filesystem::exists(Path("a")));
    file.Commit();
  }
  EXPECT_EQ(ReadFile(Path("a")), "one");
  {
    AtomicFile file(Path("a"));
    file.Write("two", 3);
  }
  EXPECT_EQ(ReadFile(Path("a")), "one");
  EXPECT_EQ(NumFiles(), 1u);
}

TEST_F(AtomicFileTest, RefusesWhatCannotBeWritten) {
  EXPECT_THROW(AtomicFile{Path("none/a")}, Error);
  EXPECT_THROW(AtomicFile{folder_.string()}, Error);
  EXPECT_THROW(AtomicFile{"/dev/full"}, Error);
}

TEST_F(AtomicFileTest, AFullDiskLeavesTheOldFile) {
  std::ofstream(Path("a")) << "old";
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  try {
    AtomicFile file(Path("a"));
    const std::string bytes(10000, 'x');
    file.Write(bytes.data(), bytes.size());
    ADD_FAILURE() << "more was written than allowed";
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kExhausted);
    EXPECT_NE(std::string(error.what()).find(Path("a")), std::string::npos);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(NumFiles(), 1u);
}

}  // namespace
}  // namespace throng
