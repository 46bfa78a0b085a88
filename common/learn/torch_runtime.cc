#include "common/learn/torch_runtime.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <torch/torch.h>

namespace backflip::learn {

void SetUpTorch() {
  at::set_num_threads(1);
  // denormals in decayed weights cost a hundred cycles each
  at::globalContext().setFlushDenormal(true);
}

Blas FindBlas() {
  Blas blas{"unknown", ""};
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info;
  if (symbol == nullptr || dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) {
    return blas;  // a LibTorch with its own BLAS inside
  }
  blas.library = info.dli_fname;
  // the alternatives system hides the real name behind libblas.so.3
  if (char* resolved = realpath(info.dli_fname, nullptr)) {
    blas.library = resolved;
    free(resolved);
  }
  if (blas.library.find("/blas/libblas.so") != std::string::npos) {
    blas.warning = blas.library +
                   " is the reference BLAS: training will be five to seven "
                   "times slower. Install libopenblas0-serial.";
  }
  return blas;
}

}  // namespace backflip::learn
