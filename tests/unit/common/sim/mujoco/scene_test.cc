#include "common/sim/mujoco/scene.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace backflip::sim {
namespace {

uint32_t Word(const std::string& bytes, size_t at) {
  uint32_t word;
  std::memcpy(&word, &bytes.at(at), sizeof(word));
  return word;
}

// The description in a .glb whose two chunks fill it exactly.
nlohmann::json Parse(const std::string& glb) {
  EXPECT_EQ(glb.substr(0, 4), "glTF");
  EXPECT_EQ(Word(glb, 4), 2u);
  EXPECT_EQ(Word(glb, 8), glb.size());
  const uint32_t text = Word(glb, 12);
  EXPECT_EQ(glb.substr(16, 4), "JSON");
  EXPECT_EQ(Word(glb, 20 + text) + 28 + text, glb.size());
  return nlohmann::json::parse(glb.substr(20, text));
}

std::shared_ptr<const Task> TaskOfModel(const std::string& name, const std::string& model) {
  const std::string folder = testing::TempDir() + "/" + name;
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/model.xml", std::ios::binary) << model;
  std::ofstream(folder + "/task.textproto") << absl::StrCat(
      "name: \"", name,
      "\" model: \"model.xml\" frame_skip: 1 episode_steps: 100\n"
      "observation { qpos {} qvel {} } clip { steps: 10 } question: \"Which is better?\"\n");
  auto task = Task::FromFolder(folder);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *task : nullptr;
}

// A task with one body, of `geoms`, on a hinge with a motor.
std::shared_ptr<const Task> TaskOf(const std::string& name, const std::string& assets,
                                   const std::string& geoms) {
  return TaskOfModel(
      name, absl::StrCat("<mujoco><asset>", assets,
                         "</asset><worldbody><body name='b'><joint name='j' type='hinge'/>", geoms,
                         "</body></worldbody><actuator><motor joint='j'/></actuator></mujoco>"));
}

// The scene of a model in tests/models.
nlohmann::json SceneOf(const std::string& model) {
  std::ifstream in(std::string(BACKFLIP_MODELS "/") + model + ".xml");
  const auto task = TaskOfModel(model, {std::istreambuf_iterator<char>(in), {}});
  const auto glb = SceneGlb(*task);
  EXPECT_TRUE(glb.ok()) << glb.status();
  EXPECT_LE(glb->size(), static_cast<size_t>(kMaxSceneBytes));
  return Parse(*glb);
}

// Nodes that show something, for each child of the root.
std::vector<int> PartsOfBodies(const nlohmann::json& scene) {
  std::vector<int> counts;
  const nlohmann::json& root = scene["nodes"][scene["scenes"][0]["nodes"][0].get<int>()];
  for (const int child : root["children"]) {
    int count = 0;
    for (const int part : scene["nodes"][child].value("children", std::vector<int>())) {
      count += scene["nodes"][part].contains("mesh");
    }
    counts.push_back(count);
  }
  return counts;
}

TEST(SceneGlb, HasANodeForEachBodyInTheOrderOfPoses) {
  const auto task = *Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip_guided");
  const auto glb = SceneGlb(*task);
  ASSERT_TRUE(glb.ok()) << glb.status();
  const nlohmann::json scene = Parse(*glb);
  const nlohmann::json& root = scene["nodes"][scene["scenes"][0]["nodes"][0].get<int>()];
  std::vector<std::string> names;
  for (const int child : root["children"]) {
    const nlohmann::json& node = scene["nodes"][child];
    names.push_back(node["name"]);
    EXPECT_FALSE(node.contains("translation")) << "a viewer places bodies";
    if (names.back() != "world") {
      EXPECT_FALSE(node["children"].empty()) << names.back();
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"body1", "body2", "body3", "body4", "world"}));
  const nlohmann::json& look = scene["scenes"][0]["extras"];
  EXPECT_EQ(look["ground"], 0);
  EXPECT_EQ(look["camera"]["track"], 0);
  EXPECT_EQ(look["camera"]["distance"], task->task().camera().distance());
}

TEST(SceneGlb, IsTheSameForTheSameTask) {
  const auto task = *Task::FromFolder(BACKFLIP_TASKS "/hopper");
  EXPECT_EQ(*SceneGlb(*task), *SceneGlb(*task));
}

TEST(SceneGlb, FloorsAreWherePlanesAre) {
  const nlohmann::json look = SceneOf("floors")["scenes"][0]["extras"];
  const nlohmann::json& floors = look["floors"];
  ASSERT_EQ(floors.size(), 5u);
  std::set<int> moving;
  for (const nlohmann::json& floor : floors) moving.insert(floor["body"].get<int>());
  EXPECT_EQ(moving, (std::set<int>{-1, 3})) << "the plate's; the ground's body does not move";
  // not the table beside, which is level and higher
  const nlohmann::json& ground = floors[look["ground"].get<int>()];
  EXPECT_NEAR(ground["position"][2].get<double>(), -0.7, 1e-9);
  EXPECT_EQ(ground["size"], (nlohmann::json{0, 0}));
  EXPECT_FALSE(ground.contains("colour"));
  int coloured = 0;
  for (const nlohmann::json& floor : floors) coloured += floor.contains("colour");
  EXPECT_EQ(coloured, 3) << "slope, wall, plate";
}

TEST(SceneGlb, NamesOfBodiesDoNotMatter) {
  EXPECT_EQ(PartsOfBodies(SceneOf("names")), (std::vector<int>{1, 1, 1, 1, 0}));
  const auto task = TaskOfModel("latin",
                                "<mujoco><worldbody><body name='Fu\xdf'><joint name='j'/><geom "
                                "size='1'/></body></worldbody><actuator><motor joint='j'/>"
                                "</actuator></mujoco>");
  ASSERT_NE(task, nullptr);
  EXPECT_TRUE(SceneGlb(*task).ok());
}

TEST(SceneGlb, LeavesOutWhatNobodySees) {
  EXPECT_EQ(PartsOfBodies(SceneOf("hidden")), (std::vector<int>{1, 1, 0}));
}

TEST(SceneGlb, ShowsAllGroupsWhereTheRobotIsInNoneThatIsShown) {
  const auto task = TaskOf("groups", "", "<geom size='1' group='3'/>");
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(PartsOfBodies(Parse(*SceneGlb(*task))), (std::vector<int>{1, 0}));
}

TEST(SceneGlb, HasSkinsFlexesTendonsAndSites) {
  const nlohmann::json scene = SceneOf("soft");
  EXPECT_EQ(scene["skins"].size(), 3u);
  EXPECT_EQ(scene["skins"][0]["joints"].size(), 2u);
  EXPECT_EQ(PartsOfBodies(scene)[1], 1) << "the site of the lower arm";
  EXPECT_EQ(PartsOfBodies(scene).back(), 4) << "hook, and what several bodies move";
}

TEST(SceneGlb, FitsMoreThanAHundredRoundGeoms) {
  EXPECT_EQ(PartsOfBodies(SceneOf("many_round"))[0], 131);
}

TEST(SceneGlb, EqualShapesAreWrittenOnce) {
  std::string geoms;
  for (int i = 0; i < 400; ++i) {
    absl::StrAppend(&geoms, "<geom type='ellipsoid' size='", 1 + i, " 1 2'/>");
  }
  const auto task = TaskOf("shared", "", geoms);
  ASSERT_NE(task, nullptr);
  const nlohmann::json scene = Parse(*SceneGlb(*task));
  EXPECT_EQ(scene["meshes"].size(), 1u);
  EXPECT_EQ(PartsOfBodies(scene)[0], 400);
}

TEST(SceneGlb, EveryPartKeepsTrianglesHoweverCoarse) {
  // one mesh of very many triangles leaves next to none for the others
  std::string assets = "<mesh name='large' builtin='supersphere' params='200 1 1'/>";
  std::string geoms = "<geom type='mesh' mesh='large'/>";
  for (int i = 0; i < 300; ++i) {
    absl::StrAppend(&assets, "<mesh name='m", i, "' builtin='sphere' params='1' scale='", 1 + i,
                    " 1 1'/>");
    absl::StrAppend(&geoms, "<geom type='mesh' mesh='m", i, "'/>");
  }
  const auto task = TaskOf("bolts", assets, geoms);
  ASSERT_NE(task, nullptr);
  const auto glb = SceneGlb(*task);
  ASSERT_TRUE(glb.ok()) << glb.status();
  const nlohmann::json scene = Parse(*glb);
  EXPECT_EQ(PartsOfBodies(scene)[0], 301);
  for (const nlohmann::json& mesh : scene["meshes"]) {
    EXPECT_GT(scene["accessors"][mesh["primitives"][0]["indices"].get<int>()]["count"], 0);
  }
}

TEST(SceneGlb, FacesLookOutwards) {
  const auto task =
      TaskOf("shapes", "", R"(<geom type="sphere" size="1"/><geom type="capsule" size="0.3 0.5"/>
      <geom type="box" size="1 2 3"/><geom type="cylinder" size="0.4 1"/><geom type="ellipsoid" size="1 2 0.5"/>)");
  ASSERT_NE(task, nullptr);
  const auto glb = SceneGlb(*task);
  ASSERT_TRUE(glb.ok()) << glb.status();
  const nlohmann::json scene = Parse(*glb);
  const size_t binary = 28 + Word(*glb, 12);
  ASSERT_EQ(scene["meshes"].size(), 4u) << "an ellipsoid is a sphere, scaled";
  const auto floats = [&](int accessor) {
    const nlohmann::json& view =
        scene["bufferViews"][scene["accessors"][accessor]["bufferView"].get<int>()];
    std::vector<float> values(view["byteLength"].get<size_t>() / sizeof(float));
    std::memcpy(values.data(), &(*glb)[binary + view["byteOffset"].get<size_t>()],
                values.size() * sizeof(float));
    return values;
  };
  for (const nlohmann::json& mesh : scene["meshes"]) {
    const nlohmann::json& primitive = mesh["primitives"][0];
    const auto positions = floats(primitive["attributes"]["POSITION"]);
    const auto normals = floats(primitive["attributes"]["NORMAL"]);
    const nlohmann::json& view =
        scene["bufferViews"]
             [scene["accessors"][primitive["indices"].get<int>()]["bufferView"].get<int>()];
    std::vector<uint16_t> indices(view["byteLength"].get<size_t>() / sizeof(uint16_t));
    std::memcpy(indices.data(), &(*glb)[binary + view["byteOffset"].get<size_t>()],
                indices.size() * sizeof(uint16_t));
    for (size_t i = 0; i < indices.size(); i += 3) {
      const float* p[3];
      for (int k = 0; k < 3; ++k) p[k] = &positions[3 * indices[i + k]];
      float cross[3], along = 0, outwards = 0, normal_length = 0;
      for (int k = 0; k < 3; ++k) {
        const int u = (k + 1) % 3, v = (k + 2) % 3;
        cross[k] =
            (p[1][u] - p[0][u]) * (p[2][v] - p[0][v]) - (p[1][v] - p[0][v]) * (p[2][u] - p[0][u]);
        along += cross[k] * normals[3 * indices[i] + k];
        outwards += cross[k] * (p[0][k] + p[1][k] + p[2][k]);
        normal_length += normals[3 * indices[i] + k] * normals[3 * indices[i] + k];
      }
      EXPECT_NEAR(normal_length, 1, 1e-4);
      EXPECT_GE(along, -1e-6);     // triangles at a pole have no area
      EXPECT_GE(outwards, -1e-6);  // all of these shapes are convex around 0
    }
  }
}

TEST(SceneGlb, SimplifiesMeshesUntilTheyFit) {
  std::string assets, geoms;
  for (int i = 0; i < 30; ++i) {
    absl::StrAppend(&assets, "<mesh name='m", i, "' builtin='sphere' params='4' scale='",
                    1 + 0.01 * i, " 1 1'/>");
    absl::StrAppend(&geoms, "<geom type='mesh' mesh='m", i, "'/>");
  }
  const auto task = TaskOf("meshes", assets, geoms);
  ASSERT_NE(task, nullptr);
  const auto glb = SceneGlb(*task);
  ASSERT_TRUE(glb.ok()) << glb.status();
  EXPECT_LE(glb->size(), static_cast<size_t>(kMaxSceneBytes));
  size_t triangles = 0;
  const nlohmann::json scene = Parse(*glb);
  for (const nlohmann::json& mesh : scene["meshes"]) {
    triangles +=
        scene["accessors"][mesh["primitives"][0]["indices"].get<int>()]["count"].get<size_t>() / 3;
  }
  EXPECT_GT(triangles, 10'000u);
  EXPECT_EQ(scene["meshes"].size(), 30u);
}

}  // namespace
}  // namespace backflip::sim
