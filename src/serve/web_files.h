// The files of web/; web_files.cc is made of them when the build is configured.
#pragma once

namespace throng::serve {

extern const char* const kViewerPage;
extern const char* const kViewerScript;

}  // namespace throng::serve
