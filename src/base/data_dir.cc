#include "base/data_dir.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace throng {

namespace {

namespace fs = std::filesystem;

// The library that this code is linked into, by its full path; for a program, as it was called.
fs::path OwnFile() {
  Dl_info info;
  return dladdr(reinterpret_cast<const void*>(&OwnFile), &info) != 0 ? info.dli_fname : "";
}

}  // namespace

std::string DataDir() {
  std::error_code ignored;
  if (const char* set = std::getenv("THRONG_DATA")) {
    if (!fs::is_directory(fs::path(set) / "town", ignored)) {
      throw MakeError(ErrorCode::kIo, "THRONG_DATA={}: there is no folder town in it", set);
    }
    return set;
  }
  const fs::path installed = fs::read_symlink("/proc/self/exe", ignored).parent_path() / "../share/throng";
  const fs::path in_package = OwnFile().parent_path() / "share/throng";
  for (const fs::path& dir : {installed, in_package, fs::path(THRONG_SOURCE_ROOT)}) {
    if (dir.is_absolute() && fs::is_directory(dir / "town", ignored)) return dir.lexically_normal().string();
  }
  throw MakeError(ErrorCode::kIo, "the program's data (town/) is neither in {} nor in {}; set THRONG_DATA",
                  installed.lexically_normal().string(), THRONG_SOURCE_ROOT);
}

}  // namespace throng
