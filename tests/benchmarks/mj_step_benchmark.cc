// The bare simulator on one core: control steps per second of mj_step with
// random controls, reset after each episode. What the whole loop is compared with.
//
//   BACKFLIP_TASK=tasks/hopper mj_step_benchmark
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <random>
#include <string>

#include "common/sim/mujoco/mujoco_handles.h"
#include "common/sim/mujoco/mujoco_task.h"

namespace backflip {
namespace {

void MjStep(benchmark::State& state) {
  const char* folder = std::getenv("BACKFLIP_TASK");
  const auto task = sim::Task::FromFolder(folder ? folder : "tasks/hopper_backflip_guided");
  if (!task.ok()) {
    state.SkipWithError(std::string(task.status().message()).c_str());
    return;
  }
  const mjModel* const model = (*sim::MujocoTask::Of(**task))->model();
  sim::DataPtr data(mj_makeData(model));
  std::minstd_rand random(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  int step = 0;
  for (auto _ : state) {
    if (step++ % (*task)->task().episode_steps() == 0) mj_resetData(model, data.get());
    for (int i = 0; i < model->nu; ++i) data->ctrl[i] = uniform(random);
    for (int i = 0; i < (*task)->task().frame_skip(); ++i) mj_step(model, data.get());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(MjStep)->MinTime(3);

}  // namespace
}  // namespace backflip

BENCHMARK_MAIN();
