// The files of web/; web_files.cc is made of them when the build is configured.
#pragma once

#include <span>
#include <string_view>

namespace throng::serve {

struct WebFile {
  std::string_view path;  // in web/
  const char* type;       // as HTTP has it
  std::string_view bytes;
};

std::span<const WebFile> WebFiles();

}  // namespace throng::serve
