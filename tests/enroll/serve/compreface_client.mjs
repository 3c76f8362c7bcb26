// The JavaScript client of CompreFace against a server: node compreface_client.mjs PORT
// Prints what each call gave as one JSON object; the working folder has p0-0.png, p0-1.png and p20-0.png.
import fs from "node:fs";
import { CompreFace } from "@exadel/compreface-js-sdk";

const port = process.argv[2];
const key = "00000000-0000-0000-0000-000000000000";
const server = new CompreFace("http://127.0.0.1", Number(port));
const recognition = server.initFaceRecognitionService(key);
const photo = (name) => `./${name}.png`; // it takes a path for one only if it begins so
const faces = () => recognition.getFaceCollection(); // each changes its own address at a call
const subjects = () => recognition.getSubjects();
const said = {};
said.cleared = await subjects().deleteAll();
said.added = await faces().add(photo("p0-0"), "Ann B", { det_prob_threshold: 0.8 });
said.encoded = await faces().add(fs.readFileSync(photo("p0-1")).toString("base64"), "Ann B");
said.listed = await faces().list();
said.known = await recognition.recognize(photo("p0-2"), { limit: 0, det_prob_threshold: 0.8, prediction_count: 1 });
said.stranger = await recognition.recognize(photo("p20-0"), {});
said.verified = await faces().verify(photo("p0-2"), said.added.image_id, {});
said.subjects = await subjects().list();
said.renamed = await subjects().rename("Ann B", "Ann");
said.deleted = await faces().delete(said.added.image_id);
said.gone = await faces().delete(said.added.image_id).then(() => null, (error) => error.response?.data ?? String(error));
said.detected = await server.initFaceDetectionService(key).detect(photo("p0-0"), {});
said.compared = await server.initFaceVerificationService(key).verify(photo("p0-0"), photo("p0-1"), {});
said.rest = await faces().delete_all_subject("Ann");
console.log(JSON.stringify(said));
