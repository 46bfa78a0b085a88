#include "common/learn/torch_runtime.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <torch/torch.h>

#include "common/base/log.h"
#include "common/base/version.h"

namespace backflip::learn {
namespace {
const base::VersionLine version_line("LibTorch", TORCH_VERSION);
const base::VersionLine blas_line("BLAS", BlasLibrary());
}  // namespace

void SetUpTorch() {
  at::set_num_threads(1);
  // denormals in decayed weights cost a hundred cycles each
  at::globalContext().setFlushDenormal(true);
}

std::string BlasLibrary() {
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info;
  if (symbol == nullptr || dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) {
    return "unknown";
  }
  std::string library = info.dli_fname;
  // the alternatives system hides the real name behind libblas.so.3
  if (char* resolved = realpath(info.dli_fname, nullptr)) {
    library = resolved;
    free(resolved);
  }
  return library;
}

void ReportBlas() {
  const std::string library = BlasLibrary();
  base::LogInfo("linear algebra", {{"library", library}});
  if (library.find("/blas/libblas.so") != std::string::npos) {
    base::LogWarning(
        "the reference BLAS makes training five to seven times slower: install "
        "libopenblas0-serial",
        {{"library", library}});
  }
}

}  // namespace backflip::learn
